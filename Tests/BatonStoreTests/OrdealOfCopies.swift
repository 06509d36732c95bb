// Lives that began from the same log, and parts of one in the place of the other's: what a disk that
// loses writes, or half a backup, makes of a mailbox.

import BatonCore
import BatonStore

extension Ordeal {
    /// Every segment and batch of one copy in another, and of a life that was lost in the next every
    /// record and sector too.
    mutating func mixCopies() throws {
        let variant = Mutant.variant(mutant)
        let directory = try TemporaryDirectory()
        let life = try Life(directory, variant: variant)
        try life.switchTo("1")
        try life.append(10)
        try life.append(10)
        try life.settle(1, state: "one")
        try life.sync()
        let begun = try directory.contents()
        // It goes on, but nothing of that reaches the disk. The next life's first batch, its epoch, is
        // of the same size: then numbers and places agree.
        try life.settle(2)
        try life.flush()
        try life.append([UInt8](repeating: 1, count: 24))
        try life.flush()
        let lost = try directory.contents()
        let next = try copy(of: begun) { life in
            try life.append([UInt8](repeating: 2, count: 24))
            try life.flush()
        }
        try splice(into: next, from: lost, within: true)
        // Two copies go on, each with messages of its own; their batches differ, and then agree in
        // numbers and places.
        let copies = try [3 as UInt8, 4].map { byte in
            try copy(of: begun) { life in
                let batches = [[504], [200, 272]]
                for batch in byte == 3 ? batches : batches.reversed() {
                    for count in batch { try life.append([UInt8](repeating: byte, count: count)) }
                    try life.flush()
                }
                while life.mailbox.readable.segment < 2 {
                    try life.append([UInt8](repeating: byte, count: 500))
                    try life.settle(life.mailbox.appended.value, state: "state \(byte)")
                    try life.flush()
                }
                try life.sync()
                try life.append([UInt8](repeating: byte, count: 20))
                try life.sync()
            }
        }
        // A batch names the one before it, not its records: within one nothing tells them apart.
        try splice(into: copies[0], from: copies[1], within: false)
    }

    private func copy(of files: DamagedLog.Files, _ goOn: (Life) throws -> Void) throws
        -> DamagedLog.Files
    {
        let directory = try TemporaryDirectory()
        try directory.restore(files)
        try goOn(Life(directory, variant: Mutant.variant(mutant)))
        return try directory.contents()
    }

    private mutating func splice(
        into files: DamagedLog.Files, from donor: DamagedLog.Files, within: Bool
    ) throws {
        let log = try DamagedLog(files: files)
        let other = try LogImage(donor)
        // What the witness cannot read it cannot judge.
        guard !other.batches.isEmpty else { return }
        let directory = try TemporaryDirectory()
        for segment in log.log.segments {
            let records = segment.batches.flatMap {
                [$0.header.range] + $0.records.map(\.range)
            }
            let sectors = (0..<segment.byteCount / 512).map { $0 * 512..<$0 * 512 + 512 }
            let batches = [0..<segment.byteCount] + segment.batches.map(\.range)
            for range in batches + (within ? records + sectors : []) {
                guard let part = donor[segment.name]?[range] else { continue }
                var mixed = files
                mixed[segment.name]?.replaceSubrange(range, with: part)
                guard mixed != files else { continue }
                count(.splices)
                try directory.restore(mixed)
                let what = "\(segment.name): \(range) of another copy"
                try judge(directory, mixed, log, other, what)
            }
        }
    }

    /// It is told, or it is a part of one copy, or of the other: never something of both.
    private mutating func judge(
        _ directory: TemporaryDirectory, _ mixed: DamagedLog.Files, _ log: DamagedLog,
        _ other: LogImage, _ what: String
    ) throws {
        let life: Life
        do throws(StoreError) {
            life = try Life(directory, variant: Mutant.variant(mutant))
        } catch {
            count(.refused)
            guard case .corrupt = error, try directory.holds(mixed) else {
                throw Finding("\(what): \(error)")
            }
            return
        }
        count(.recovered)
        switch log.expected(mixed) {
        case .torn(let batch) where try Self.is(life, log.log, batch): return
        case .whole where try Self.is(life, log.log, log.log.batches.count): return
        case .torn, .whole, .corrupt: break
        }
        for batch in 0...other.batches.count where try Self.is(life, other, batch) { return }
        throw Finding("\(what): opened as \(life.known)")
    }

    /// Whether it is what a log says with so many batches, with all messages as they are there.
    private static func `is`(_ life: Life, _ log: LogImage, _ batches: Int) throws -> Bool {
        guard try log.known(afterBatches: batches) == life.known else { return false }
        let messages = log.messages
        let (first, last) = (life.mailbox.oldestKept.value, life.mailbox.appended.value)
        guard first <= last else { return true }
        return try (first...last).allSatisfy { try life.message($0) == messages[$0] }
    }
}
