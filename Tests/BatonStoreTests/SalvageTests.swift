// What a repair keeps of a damaged log, kind by kind of damage. That it holds for any flipped bit,
// zeroed page, missing or misplaced block is tried in the other tests of damage, by DamagedLog.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("A damaged mailbox that is repaired")
struct SalvageTests {
    /// Ten messages of which seven are settled, each batch synced; the state is known after each.
    private func ten(states: Bool = true) throws -> DamagedLog {
        try DamagedLog { life in
            try life.switchTo("1")
            for number in 1...10 as ClosedRange<UInt64> {
                try life.append(20)
                try life.sync()
                guard number <= 7 else { continue }
                try life.settle(number, state: states ? "state \(number)" : nil)
                try life.sync()
            }
            try life.append(20)
            try life.sync()
        }
    }

    private func record(_ log: DamagedLog, _ kind: LogImage.Record.Kind, _ sequence: UInt64) throws
        -> LogImage.Record
    {
        try #require(log.log.records.first { $0.kind == kind && $0.sequence == sequence })
    }

    private func repaired(_ log: DamagedLog, _ damage: (inout DamagedLog.Files) -> Void) throws
        -> Repaired
    {
        var files = log.files
        damage(&files)
        let repaired = try Repaired(files)
        try repaired.check(against: log, files, history: log.log.history(), "")
        return repaired
    }

    private let first = "0000000001.segment"

    @Test("A message that is settled may rot: nothing is lost")
    func settledMessage() throws {
        let log = try ten()
        for sequence in 1...7 as ClosedRange<UInt64> {
            let message = try record(log, .message, sequence)
            for place in [message.range.lowerBound + 3, message.range.lowerBound + 40] {
                let repaired = try repaired(log) { $0[first]?[place] ^= 4 }
                #expect(repaired.lost.isEmpty && repaired.salvage.again == nil)
                #expect(repaired.life.known.standing.state?.bytes == Array("after".utf8))
                #expect(repaired.salvage.standing.settled.value == 7)
            }
        }
    }

    @Test("A message that waits and rots is lost, and it alone; the others come in their order")
    func waitingMessage() throws {
        let log = try ten()
        for sequence in 8...10 as ClosedRange<UInt64> {
            let message = try record(log, .message, sequence)
            for place in [message.range.lowerBound, message.range.lowerBound + 40] {
                let repaired = try repaired(log) { $0[first]?[place] ^= 64 }
                #expect(repaired.lost == [sequence])
                #expect(repaired.salvage.waitingCount == 3)
                #expect(repaired.salvage.appended.value == 11)
                #expect(repaired.salvage.standing.state?.bytes == Array("state 7".utf8))
            }
        }
    }

    @Test("A lost state is made anew from the one before it: its messages are handled again")
    func lostState() throws {
        let log = try ten()
        let settle = try record(log, .settle, 7)
        let repaired = try repaired(log) { $0[first]?[settle.range.lowerBound + 34] ^= 1 }
        #expect(repaired.salvage.again == 7...7)
        #expect(repaired.salvage.standing.state?.bytes == Array("state 6".utf8))
        #expect(repaired.lost.isEmpty && repaired.salvage.waitingCount == 5)
        // A state that was not the last one is not missed.
        let earlier = try record(log, .settle, 5)
        let other = try self.repaired(log) { $0[first]?[earlier.range.lowerBound + 34] ^= 1 }
        #expect(other.salvage.again == nil && other.lost.isEmpty)
        #expect(other.salvage.standing.state?.bytes == Array("state 7".utf8))
    }

    @Test("Of a service that has no state a settle record is not missed: what was settled stays so")
    func stateless() throws {
        let log = try ten(states: false)
        let settle = try record(log, .settle, 6)
        let repaired = try repaired(log) { $0[first]?[settle.range.lowerBound + 9] ^= 1 }
        #expect(repaired.salvage.again == nil && repaired.lost.isEmpty)
        #expect(repaired.salvage.standing.settled.value == 7)
    }

    @Test("A page of zeros loses what lay in it, and no more")
    func zeroedPage() throws {
        let log = try DamagedLog { life in
            try life.switchTo("1")
            for _ in 1...100 {
                try life.append(400)
                try life.sync()
            }
            try life.settle(10, state: "ten")
            try life.sync()
            try life.append(1)
            try life.sync()
        }
        let page = 16384..<20480
        let gone = log.log.records.filter {
            $0.kind == .message && $0.range.overlaps(page)
        }.map(\.sequence)
        let repaired = try repaired(log) { $0[first]?.zero(page) }
        #expect(gone.count > 5)
        #expect(repaired.lost == gone.filter { $0 > 10 })
        #expect(repaired.salvage.appended.value == 101)
    }

    @Test("A segment's header that is gone takes nothing with it")
    func lostHeader() throws {
        let log = try ten()
        let repaired = try repaired(log) { $0[first]?.zero(0..<4096) }
        #expect(repaired.lost.isEmpty && repaired.salvage.again == nil)
        #expect(repaired.salvage.waitingCount == 4)
        #expect(repaired.salvage.standing.state?.bytes == Array("state 7".utf8))
    }

    /// Three segments; of the first all is settled.
    private func three(settled: UInt64) throws -> DamagedLog {
        try DamagedLog { life in
            try life.switchTo("1")
            life.keep(from: SequenceNumber(0))
            while life.mailbox.readable.segment < 4 {
                try life.append(6000)
                try life.sync()
                if life.mailbox.appended.value == settled { try life.settle(settled, state: "so") }
            }
            try life.append(10)
            try life.sync()
        }
    }

    @Test("A damaged segment whose messages are all settled is dropped, and nothing is lost")
    func settledSegment() throws {
        let log = try three(settled: 60)
        let segments = log.log.segments
        #expect(segments[1].firstSequence < 60)
        for damage in [
            { (files: inout DamagedLog.Files) in files[segments[0].name] = nil },
            { files in files[segments[0].name]?.zero(8192..<200_000) },
            { files in files[segments[0].name] = [UInt8](repeating: 7, count: 1000) },
        ] {
            let repaired = try repaired(log, damage)
            #expect(repaired.lost.isEmpty && repaired.salvage.again == nil)
            #expect(repaired.salvage.standing.settled.value == 60)
            #expect(repaired.salvage.standing.state?.bytes == Array("so".utf8))
        }
    }

    @Test("A segment in the middle that is gone loses its messages; those before and behind stay")
    func middleSegment() throws {
        let log = try three(settled: 5)
        let segments = log.log.segments
        let gone = Array(segments[1].firstSequence..<segments[2].firstSequence)
        let repaired = try repaired(log) { $0[segments[1].name] = nil }
        #expect(repaired.lost == gone)
        #expect(repaired.salvage.standing.settled.value == 5)
        #expect(repaired.salvage.waitingCount == log.log.messages.count - 5 - gone.count)
        #expect(!repaired.salvage.isEndMissing)
    }

    @Test("Where the last segments are gone it cannot be known what was in them, and that is told")
    func missingEnd() throws {
        let log = try three(settled: 5)
        let segments = log.log.segments
        let repaired = try repaired(log) { files in
            for segment in segments.dropFirst() { files[segment.name] = nil }
        }
        #expect(repaired.salvage.isEndMissing)
        #expect(repaired.lost.isEmpty)
        #expect(repaired.salvage.appended.value == segments[1].firstSequence - 1)
    }

    @Test("Where a segment was cut short it cannot be known what was in the rest, and that is told")
    func cutShort() throws {
        let log = try ten()
        var files = log.files
        files[first] = files[first].map { Array($0.prefix(5000)) }
        let repaired = try Repaired(files)
        #expect(repaired.salvage.isEndMissing)
    }

    @Test("Where every segment is gone nothing is kept: it begins anew")
    func nothingLeft() throws {
        let log = try ten()
        var files = log.files
        files[first] = nil
        files["spare"] = [0]
        let repaired = try Repaired(files)
        #expect(repaired.salvage.appended == .none && repaired.salvage.standing == MailboxMachine())
        #expect(repaired.salvage.isEndMissing)
    }

    @Test("What a rollback would need and is gone makes the release confirmed, and that is told")
    func lostFallback() throws {
        let log = try DamagedLog { life in
            try life.switchTo("1")
            for number in 1...4 as ClosedRange<UInt64> {
                try life.append(20)
                try life.settle(number, state: "state \(number)")
                try life.sync()
            }
            try life.switchTo("2")
            try life.sync()
            for number in 5...8 as ClosedRange<UInt64> {
                try life.append(20)
                try life.settle(number, state: "state \(number)")
                try life.sync()
            }
            try life.append(20)
            try life.sync()
        }
        let before = try record(log, .message, 3)
        let kept = try repaired(log) { $0[first]?[before.range.lowerBound + 33] ^= 1 }
        #expect(kept.salvage.droppedFallback == nil)
        #expect(kept.salvage.standing.fallback?.release == Life.release("1"))
        #expect(try kept.life.message(5) == Life.message(5, count: 20))

        let since = try record(log, .message, 6)
        let dropped = try repaired(log) { $0[first]?[since.range.lowerBound + 33] ^= 1 }
        #expect(dropped.salvage.droppedFallback == Life.release("1"))
        #expect(dropped.salvage.standing.tenure == .confirmed(Life.release("2")))
        #expect(dropped.lost.isEmpty)
    }

    @Test("A newer format is not repaired by an older Baton")
    func newerFormat() throws {
        let log = try ten()
        var files = log.files
        files[first]?[8] = 9
        if let page = files[first] {
            let crc = LogImage.crc(page[..<76])
            for byte in 0..<4 {
                files[first]?[76 + byte] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(byte)))
            }
        }
        do throws(StoreError) {
            let directory = try TemporaryDirectory.holding(files)
            _ = try Salvage(try service(), path: directory.path)
            Issue.record("it was read")
        } catch {
            guard case .newerFormat(9, _, _) = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    private func service() throws(StoreError) -> ServiceName {
        guard let service = ServiceName("test") else { throw .full(limit: 0) }
        return service
    }
}

extension TemporaryDirectory {
    static func holding(_ files: [String: [UInt8]]) throws(StoreError) -> TemporaryDirectory {
        do throws(SystemError) {
            let directory = try TemporaryDirectory()
            try directory.restore(files)
            return directory
        } catch { throw .system(error) }
    }
}
