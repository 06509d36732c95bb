// A damaged log after its repair, and what must be true of any such: checked against the log as it was
// before the damage, which the repair has not seen.

import BatonCore
import BatonLinux
import BatonStore
import Testing

final class Repaired {
    let salvage: Salvage
    let life: Life
    private let damagedDirectory: TemporaryDirectory
    private let directory: TemporaryDirectory

    init(_ damaged: DamagedLog.Files) throws {
        let service = try #require(ServiceName("test"))
        damagedDirectory = try TemporaryDirectory()
        directory = try TemporaryDirectory()
        try damagedDirectory.restore(damaged)
        var salvage = try Salvage(service, path: damagedDirectory.path)
        let promised = salvage.standing
        try directory.removeItself()
        try salvage.write(to: directory.path)
        // The promise holds, but for what hosts are to pass over.
        var written = salvage.standing
        written.dead = promised.dead
        try #require(written.settled == promised.settled && written.state == promised.state)
        self.salvage = salvage
        let survey = Survey(service, path: directory.path)
        try #require(survey.end == .clean)
        try #require(survey.standing == salvage.standing)
        try #require(survey.appended == salvage.appended)
        life = try Life(directory)
        try #require(life.known.standing == salvage.standing)
        try #require(life.known.appended == salvage.appended)
        let isUnchanged = try damagedDirectory.holds(damaged)
        try #require(isUnchanged, "the damaged files were changed")
    }

    var lost: [UInt64] { salvage.lost.flatMap { $0 } }

    /// - Parameter history: what was known after each record of the log.
    func check(
        against log: DamagedLog, _ damaged: DamagedLog.Files, history: [Life.Known], _ what: String
    ) throws {
        try checkMessages(log, damaged, what)
        try checkState(history, what)
        try checkAgain(log, damaged, what)
        try goOn(what)
    }

    /// Each message that waits is there as it was, or told as lost; what is told as lost is gone.
    private func checkMessages(_ log: DamagedLog, _ damaged: DamagedLog.Files, _ what: String)
        throws
    {
        let lost = Set(lost)
        let needed = salvage.standing.needed.value
        for segment in log.log.segments {
            for record in segment.batches.flatMap(\.records) where record.kind == .message {
                let number = record.sequence
                let isGone = log.changed(
                    segment.name, record.range.lowerBound..<record.padding.lowerBound, damaged)
                if number > salvage.appended.value {
                    // At the end, where nothing tells any more that there was something.
                    try #require(isGone || isBehindTheEnd(record, segment, log, damaged), "\(what)")
                } else if lost.contains(number) {
                    try #require(isGone, "\(what): message \(number) is there, and told as lost")
                } else if number > needed {
                    let bytes = try life.message(number)
                    try #require(bytes == record.payload, "\(what): message \(number)")
                }
            }
        }
        let passed = salvage.standing.dead
        for number in lost where number > salvage.standing.settled.value {
            try #require(passed.contains(number), "\(what): \(number) would be delivered")
            let bytes = try life.message(number)
            try #require(bytes == [], "\(what)")
        }
    }

    /// Recovery, too, drops what lies behind a bad place that nobody was told of.
    private func isBehindTheEnd(
        _ record: LogImage.Record, _ segment: LogImage.Segment, _ log: DamagedLog,
        _ damaged: DamagedLog.Files
    ) -> Bool {
        let place = (segment.ordinal, record.range.upperBound)
        return !log.log.segments.filter { $0.ordinal >= segment.ordinal }.contains { later in
            later.batches.contains {
                $0.durable > place && !log.changed(later.name, $0.header.range, damaged)
            } || later.footer.map { !log.changed(later.name, $0.range, damaged) } ?? false
        }
    }

    /// State and cursor belong together: the state is one that there was, and no message between its
    /// cursor and this one is there and forgotten.
    private func checkState(_ history: [Life.Known], _ what: String) throws {
        let standing = salvage.standing
        let lost = Set(lost)
        let isOne = history.contains { known in
            known.standing.state?.bytes == standing.state?.bytes
                && known.standing.settled <= standing.settled
                && (known.standing.settled.value..<standing.settled.value)
                    .allSatisfy { lost.contains($0 + 1) }
        }
        let isNone = standing.state == nil && standing.settled.value == UInt64(lost.count)
        try #require(
            isOne || isNone, "\(what): no state belongs to message \(standing.settled)")
    }

    /// What is handled again is told, as far as anything says that it was handled.
    private func checkAgain(_ log: DamagedLog, _ damaged: DamagedLog.Files, _ what: String) throws {
        for segment in log.log.segments {
            for record in segment.batches.flatMap(\.records)
            where record.kind == .settle && record.sequence > salvage.standing.settled.value {
                let isGone = log.changed(segment.name, record.range, damaged)
                try #require(
                    isGone || isBehindTheEnd(record, segment, log, damaged)
                        || salvage.again?.contains(record.sequence) == true,
                    "\(what): message \(record.sequence) was settled")
            }
        }
    }

    /// The repaired mailbox is one like any other.
    private func goOn(_ what: String) throws {
        try life.append(10)
        try life.settleAll(state: "after")
        try life.append(20)
        try life.sync()
        let again = try Life(directory)
        try #require(again.known == life.known, "going on: \(what)")
    }
}
