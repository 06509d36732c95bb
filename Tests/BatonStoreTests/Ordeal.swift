// Every fault at every place of a story. Each trial ends in what was acknowledged, or in a refusal
// that names the place; anything else is a finding.

import BatonCore
import BatonLinux
import BatonStore
import Glibc

struct Ordeal {
    let mutant: Mutant?
    /// Of so many cut writes and flipped bits one is tried.
    var step = 1
    private(set) var counts: [Count: Int] = [:]
    private var trials = 0

    enum Count: String {
        case cuts, failedSyncs, cutsAfterFailure, failedCalls, shortCalls, fullDisks, flippedBits,
            splices
        case recovered, refused
    }

    init(_ mutant: Mutant? = nil, step: Int = 1) {
        self.mutant = mutant
        self.step = step
    }

    mutating func count(_ what: Count) { counts[what, default: 0] += 1 }

    // MARK: Cuts

    /// The power is cut, or batond killed, within every write after every byte of it, and after every
    /// other event: with all that went before on the disk, and with only what was synced.
    mutating func cutEverywhere() throws {
        let story = try Story(mutant)
        guard case .finished = try story.live() else { throw Finding("the story does not end") }
        var generator = SeededGenerator(state: 1)
        let directory = try TemporaryDirectory()
        var disk = PowerCut(try TracedDisk(directory), [:])
        for (index, event) in story.disk.events.enumerated() {
            if case .write(let file, let offset, let bytes) = event {
                for reaching in [PowerCut.Reaching.everything, .nothing] {
                    guard let name = disk.name(of: file, reaching) else { continue }
                    var image = disk.image(reaching, &generator)
                    var contents = image[name] ?? []
                    for (done, byte) in bytes.enumerated() {
                        defer { contents.set(byte, at: offset + done) }
                        trials += 1
                        guard trials % step == 0 else { continue }
                        image[name] = contents
                        try expectAcknowledged(
                            image, directory, story, after: index + 1,
                            "event \(index) cut at byte \(done), \(reaching) before it is there")
                    }
                }
            }
            disk.happens(event)
            for reaching in PowerCut.Reaching.allCases {
                try expectAcknowledged(
                    disk.image(reaching, &generator), directory, story, after: index + 1,
                    "cut after event \(index), \(reaching)")
            }
        }
    }

    private mutating func expectAcknowledged(
        _ image: [String: [UInt8]], _ directory: TemporaryDirectory, _ story: Story,
        after events: Int, _ what: @autoclosure () -> String
    ) throws {
        count(.cuts)
        try directory.restore(image)
        do {
            let life = try Life(directory, variant: Mutant.variant(mutant))
            let possible = story.chronicle.possible(after: events)
            guard possible.contains(where: { $0.known == life.known }) else {
                throw Finding("\(what()): \(life.known) is none of \(possible.map(\.known))")
            }
            guard counts[.cuts, default: 0] % 8 == 0 else { return }
            try Story.expectMessages(of: life)
            try goOn(life, directory, what())
        } catch let error as StoreError { throw Finding("\(what()): \(error)") }
    }

    private func goOn(_ life: Life, _ directory: TemporaryDirectory, _ what: String) throws {
        try life.append(9)
        try life.settleAll()
        try life.sync()
        try life.append(9)
        try life.sync()
        let again = try Life(directory, variant: Mutant.variant(mutant))
        guard again.known == life.known else { throw Finding("\(what): it does not go on") }
    }

    // MARK: Syncs

    /// Every sync fails, and what was written before it is lost; then the power is cut at any time.
    mutating func failEverySync() throws {
        let all = try Story(mutant)
        _ = try all.live()
        for number in 0..<all.disk.syncCount {
            let story = try Story(mutant, failure: .sync(number))
            _ = try story.live()
            count(.failedSyncs)
            try story.goOn()
            try cutAfterFailure(story, "sync \(number) failed")
        }
    }

    private mutating func cutAfterFailure(_ story: Story, _ what: String) throws {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(state: 2)
        var disk = PowerCut(try TracedDisk(directory), [:])
        let events = story.disk.events
        let failed = events.firstIndex { if case .failedSync = $0 { true } else { false } }
        for (index, event) in events.enumerated() {
            disk.happens(event)
            guard let failed, failed..<failed + 40 ~= index else { continue }
            for reaching in [PowerCut.Reaching.nothing, .everything] {
                try expectAcknowledged(
                    disk.image(reaching, &generator), directory, story, after: index + 1,
                    "\(what), cut after event \(index), \(reaching)")
                count(.cutsAfterFailure)
            }
        }
    }

    // MARK: Calls

    /// Every call of the C library fails with each error that it can have, or does half.
    mutating func failEveryCall() throws {
        let all = try Story(mutant)
        _ = try all.live()
        for (number, call) in all.disk.calls.enumerated() {
            for code in call.errors {
                trials += 1
                guard trials % step == 0 else { continue }
                count(.failedCalls)
                try fail(.call(number, code), "\(call) \(number) fails with \(code)")
            }
            guard call == .read || call == .write else { continue }
            count(.shortCalls)
            try fail(.short(number), "\(call) \(number) does half")
        }
    }

    private mutating func fail(_ failure: TracedDisk.Failure, _ what: String) throws {
        let story = try Story(mutant, failure: failure)
        do {
            switch try story.live() {
            case .finished: count(.recovered)
            case .ended(let error):
                guard !failure.isHarmless else { throw error }
                count(.recovered)
            case .refused(let error):
                guard !failure.isHarmless else { throw error }
                count(.refused)
                guard "\(error)".contains(story.directory.path) else {
                    throw Finding("the refusal names no place: \(error)")
                }
            }
            try story.goOn()
        } catch { throw Finding("\(what): \(error)") }
    }

    /// From every call on there is room for no new file. What was accepted is settled without one;
    /// what is refused leaves nothing behind, and is done when there is room again.
    mutating func fillDisk() throws {
        let all = try Story(mutant)
        _ = try all.live()
        for (number, call) in all.disk.calls.enumerated() where call == .create {
            count(.fullDisks)
            try fail(.noRoomFrom(number), "no room from call \(number) on")
        }
    }

    // MARK: Bits

    /// Every bit of what the story leaves, and of what it has at other times.
    mutating func flipEveryBit(ofAll: Bool) throws {
        for lives in 1...Story.lives.count {
            let story = try Story(mutant)
            guard case .finished = try story.live(Array(Story.lives.prefix(lives))) else {
                throw Finding("the story does not end")
            }
            let log = try DamagedLog(files: story.directory.contents())
            // What the witness cannot read it cannot judge.
            guard let known = try? log.log.known(afterBatches: log.log.batches.count),
                known == story.chronicle.written.last?.known
            else { continue }
            try flip(log, ofAll: ofAll)
        }
    }

    private mutating func flip(_ log: DamagedLog, ofAll: Bool) throws {
        let directory = try TemporaryDirectory()
        for (name, bytes) in log.files.sorted(by: { $0.key < $1.key }) {
            let segment = log.log.segments.first { $0.name == name }
            let written = 4096..<max((segment?.end ?? 4096) + 72, 4096 + 72)
            for byte in bytes.indices {
                let counts = byte < 80 || written ~= byte
                for bit in 0..<8 where ofAll || counts || byte % 8 == bit {
                    trials += 1
                    guard trials % step == 0 else { continue }
                    count(.flippedBits)
                    var damaged = log.files
                    damaged[name]?[byte] ^= 1 << UInt8(bit)
                    try judge(damaged, log, directory, "\(name): bit \(bit) of byte \(byte)")
                }
            }
        }
    }

    private mutating func judge(
        _ damaged: DamagedLog.Files, _ log: DamagedLog, _ directory: TemporaryDirectory,
        _ what: @autoclosure () -> String
    ) throws {
        try directory.restore(damaged)
        let life: Life
        do throws(StoreError) {
            life = try Life(directory, variant: Mutant.variant(mutant))
        } catch {
            count(.refused)
            guard case .corrupt(let place) = log.expected(damaged),
                case .corrupt(let found, _) = error, found.contains(place)
            else { throw Finding("\(what()): \(error)") }
            guard try directory.holds(damaged) else {
                throw Finding("\(what()): the files were changed")
            }
            return
        }
        count(.recovered)
        let batches: Int
        switch log.expected(damaged) {
        case .corrupt(let place):
            throw Finding("\(what()): opened as \(life.known), should be corrupt at \(place)")
        case .torn(let batch): batches = batch
        case .whole: batches = log.log.batches.count
        }
        let known = try log.log.known(afterBatches: batches)
        if let slot = life.report.damagedSlot {
            try expectEarlier(life, known, slot, what())
        } else if life.known != known {
            throw Finding("\(what()): it is \(life.known)")
        }
        do { try Story.expectMessages(of: life) } catch { throw Finding("\(what()): \(error)") }
    }

    /// The state's slot is damaged: there is the state before it, whole, and every message since.
    private func expectEarlier(
        _ life: Life, _ known: Life.Known, _ slot: String, _ what: @autoclosure () -> String
    ) throws {
        guard let state = known.standing.state, let checkpoint = state.checkpoint,
            slot.contains(CheckpointSlot.fileName(checkpoint.slot)),
            let earlier = known.standing.earlier, let lost = life.lost,
            lost.settled == earlier.settled, life.known.appended == known.appended,
            lost.state?.bytes
                == earlier.state.map({
                    Life.state(lost.settled.value, count: $0.checkpoint?.byteCount ?? 0)
                }),
            life.mailbox.oldestKept <= earlier.settled.next
        else { throw Finding("\(what()): \(slot), and it is \(life.known)") }
    }
}

extension TracedDisk.Call {
    /// What it can fail with on a file system of Linux.
    var errors: [Int32] {
        switch self {
        case .open, .list: [EACCES, EIO, EMFILE, ENFILE, ENOMEM, EINTR]
        case .create: [EACCES, EDQUOT, EIO, EMFILE, ENFILE, ENOMEM, ENOSPC, EROFS, EINTR]
        case .read: [EIO, EINTR, ENOMEM]
        case .write: [EDQUOT, EFBIG, EINTR, EIO, ENOSPC, EROFS]
        case .syncData, .sync: [EDQUOT, EINTR, EIO, ENOSPC, EROFS]
        case .rename: [EACCES, EDQUOT, EIO, ENOMEM, ENOSPC, EROFS]
        case .remove: [EACCES, EBUSY, EIO, ENOMEM, EPERM, EROFS]
        case .nextName, .status: [EIO, ENOMEM]
        case .makeDirectory: [EACCES, EDQUOT, EIO, ENOMEM, ENOSPC, EROFS]
        }
    }
}

extension TracedDisk.Failure {
    /// Whether it may have no effect at all.
    fileprivate var isHarmless: Bool {
        if case .short = self { true } else { false }
    }
}

extension [UInt8] {
    /// Sets a byte; what is missing before it becomes zero.
    fileprivate mutating func set(_ byte: UInt8, at index: Int) {
        if count <= index { self += [UInt8](repeating: 0, count: index + 1 - count) }
        self[index] = byte
    }
}
