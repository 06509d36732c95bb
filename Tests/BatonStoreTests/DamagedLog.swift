// A log that is damaged in one way after the other, and what recovery must make of each: worked out
// here from the rule in FORMAT.md, without BatonStore.

import BatonCore
import BatonLinux
import BatonStore
import Testing

final class DamagedLog {
    typealias Files = [String: [UInt8]]

    /// What recovery must come to.
    enum Expected: Equatable {
        /// Nothing that counts is damaged.
        case whole
        /// The batches from this one on are dropped.
        case torn(batch: Int)
        /// The damage is told, with this place in it, and nothing is changed.
        case corrupt(place: String)
    }

    struct Counts {
        var whole = 0, torn = 0, corrupt = 0
        /// Of the corrupt ones so many were repaired, with so many messages lost.
        var repaired = 0, lost = 0
        var sum: Int { whole + torn + corrupt }
    }

    let files: Files
    let log: LogImage
    private let directory: TemporaryDirectory
    private(set) var counts = Counts()
    private var trials = 0

    /// - Parameter write: makes the log that is to be damaged.
    init(_ write: (Life) throws -> Void) throws {
        directory = try TemporaryDirectory()
        try write(Life(directory))
        files = try directory.contents()
        log = try LogImage(files)
    }

    init(files: Files) throws {
        directory = try TemporaryDirectory()
        self.files = files
        log = try LogImage(files)
    }

    // MARK: The rule

    /// What the files must be taken for after `damaged` has been made of them.
    func expected(_ damaged: Files) -> Expected {
        var number = 0
        for (index, segment) in log.segments.enumerated() {
            let name = segment.name
            if changed(name, 0..<80, damaged) {
                if index == 0 { return .corrupt(place: name) }
                let before = log.segments[index - 1]
                return judge(number, (before.ordinal, before.end), before.name, damaged)
            }
            for batch in segment.batches {
                if isDamaged(batch, name, damaged) {
                    return judge(
                        number, (segment.ordinal, batch.range.lowerBound), name, damaged)
                }
                number += 1
            }
        }
        return .whole
    }

    /// Is there proof that what is bad had been durable?
    private func judge(
        _ number: Int, _ bad: (segment: UInt32, offset: Int), _ name: String, _ damaged: Files
    ) -> Expected {
        let place = "\(name) offset \(bad.offset)"
        for segment in log.segments where segment.ordinal >= bad.segment {
            for batch in segment.batches
            where batch.durable > bad && !changed(segment.name, batch.header.range, damaged) {
                return .corrupt(place: place)
            }
            if let marked = segment.marked, marked > bad,
                !changed(segment.name, 512..<524, damaged)
            {
                return .corrupt(place: place)
            }
            if let footer = segment.footer, !changed(segment.name, footer.range, damaged) {
                return .corrupt(place: place)
            }
        }
        // The first batch of a log whose older segments are gone was durable before they went.
        let isBase = number == 0 && log.segments.first?.ordinal != 1
        if isBase { return .corrupt(place: name) }
        // What was dropped had settled messages whose segment is gone.
        if let first = log.segments.first, let known = try? log.known(afterBatches: number),
            known.standing.needed.value + 1 < first.firstSequence
        {
            return .corrupt(place: first.name)
        }
        return .torn(batch: number)
    }

    func changed(_ name: String, _ range: Range<Int>, _ damaged: Files) -> Bool {
        guard let before = files[name], let after = damaged[name], after.count >= range.upperBound
        else { return true }
        return before[range] != after[range]
    }

    private func isDamaged(_ batch: LogImage.Batch, _ name: String, _ damaged: Files) -> Bool {
        guard changed(name, batch.range, damaged) else { return false }
        return ([batch.header] + batch.records).contains {
            changed(name, $0.range.lowerBound..<$0.padding.lowerBound, damaged)
        }
    }

    // MARK: Trials

    /// Damages the log, opens it, and checks what comes of it, twice.
    /// - Parameters:
    ///   - expected: by the rule if not given.
    ///   - goesOn: whether to append and settle after it, and open once more.
    func tryOut(
        _ what: @autoclosure () -> String, expected: Expected? = nil, goesOn: Bool = false,
        _ damage: (inout Files) -> Void
    ) throws {
        trials += 1
        guard expected != nil || trials % Thoroughness.step == 0 else { return }
        var damaged = files
        damage(&damaged)
        let expected = expected ?? self.expected(damaged)
        try directory.restore(damaged)
        try checkSurvey(expected, what())
        switch expected {
        case .whole:
            counts.whole += 1
            try checkOpens(log.batches.count, what(), goesOn)
        case .torn(let batch):
            counts.torn += 1
            try checkOpens(batch, what(), goesOn)
        case .corrupt(let place):
            counts.corrupt += 1
            for _ in 0..<2 { try checkIsCorrupt(place, damaged, what()) }
            // One bit of a byte is as good as another to a checksum.
            if counts.corrupt % 8 == 1 { try checkSalvage(damaged, what()) }
        }
    }

    /// What is said of it beforehand is what comes of it.
    private func checkSurvey(_ expected: Expected, _ what: String) throws {
        guard let service = ServiceName("test") else { return }
        let survey = Survey(service, path: directory.path, wasMade: false)
        switch (expected, survey.end) {
        case (.whole, .clean), (.torn, .torn): break
        // Of a batch whose header's first bytes are gone nothing may be left to be dropped.
        case (.torn, .clean): break
        case (.corrupt(let place), .refused(.corrupt(let found, _))):
            try #require(found.contains(place), "\(what): \(found)")
            return
        default: Issue.record("\(what): \(expected) is surveyed as \(survey.end)")
        }
        let batches = if case .torn(let batch) = expected { batch } else { log.batches.count }
        let known = try log.known(afterBatches: batches)
        try #require(survey.appended == known.appended, "\(what)")
        try #require(survey.standing == known.standing, "\(what)")
    }

    private lazy var history = try? log.history()

    /// What is kept of it, and what is told of it: the files are what was promised.
    private func checkSalvage(_ damaged: Files, _ what: String) throws {
        let repaired = try Repaired(damaged)
        try repaired.check(against: self, damaged, history: history ?? [], what)
        counts.lost += repaired.lost.count
        counts.repaired += 1
    }

    private func checkOpens(_ batches: Int, _ what: String, _ goesOn: Bool) throws {
        let known = try log.known(afterBatches: batches)
        do {
            let life = try Life(directory)
            try #require(life.known == known, "\(what)")
            let again = try Life(directory)
            try #require(again.known == known && again.report.bytesDropped == 0, "again: \(what)")
            guard goesOn else { return }
            try again.append(10)
            try again.append(20)
            try again.settleAll()
            try again.sync()
            try again.append(30)
            try again.sync()
            let after = try Life(directory)
            try #require(after.known == again.known, "going on: \(what)")
        } catch let error as StoreError { Issue.record("\(what): \(error)") }
    }

    private func checkIsCorrupt(_ expected: String, _ damaged: Files, _ what: String) throws {
        do throws(StoreError) {
            let life = try Life(directory)
            Issue.record("\(what): opened as \(life.known), should be corrupt at \(expected)")
        } catch {
            guard case .corrupt(let place, let reason) = error else {
                Issue.record("\(what): \(error)")
                return
            }
            try #require(place.contains(expected), "\(what): \(place), \(reason)")
        }
        let isUnchanged = try directory.holds(damaged)
        try #require(isUnchanged, "\(what): the files were changed")
    }
}
