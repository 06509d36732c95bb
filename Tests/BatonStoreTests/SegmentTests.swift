// Segments: how the log goes on in the next, what is sealed, what is let go, what is used again.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("The segments of a mailbox")
struct SegmentTests {
    /// Appends until the mailbox goes on in another segment.
    private func roll(_ life: Life, _ count: Int = 4000) throws(StoreError) {
        let ordinal = life.mailbox.readable.segment
        while life.mailbox.readable.segment == ordinal {
            try life.append(count)
            try life.flush()
            life.keepHouse()
        }
    }

    @Test("The log goes on over several segments, each twice as large, chained and based")
    func rollsOver() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        for round in 0..<4 {
            try roll(life)
            try life.settle(life.mailbox.standing.settled.value + 1, state: "round \(round)")
            try life.sync()
        }
        let log = try directory.log()
        #expect(log.segments.map(\.ordinal) == [1, 2, 3, 4, 5])
        #expect(log.segments.map(\.byteCount) == [256, 512, 1024, 2048, 4096].map { $0 << 10 })
        for (before, after) in zip(log.segments, log.segments.dropFirst()) {
            #expect(after.previousEnd == before.end)
            #expect(after.firstSequence == before.batches.last.map(Self.next))
            #expect(after.firstBatch == after.batches.first?.number)
            #expect(after.batches.first?.records.first?.kind == .base)
        }
        #expect(log.messages.count == Int(life.mailbox.appended.value))
        let again = try Life(directory)
        #expect(again.known == life.known)
        #expect(try directory.log().messages == log.messages)
    }

    /// The number of the first message after a batch.
    private static func next(_ batch: LogImage.Batch) -> UInt64 {
        batch.firstSequence + UInt64(batch.records.count { $0.kind == .message })
    }

    @Test("A segment is sealed when its successor is durable, not before")
    func sealed() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try roll(life)
        #expect(try directory.log().segments.map { $0.footer != nil } == [false, false])
        try life.sync()
        let log = try directory.log()
        #expect(log.segments.map { $0.footer != nil } == [true, false])
        let first = try #require(log.segments.first)
        let footer = try #require(first.footer)
        #expect(footer.range.lowerBound == first.end)
        #expect(footer.sequence == log.segments[1].firstSequence)
        #expect(
            footer.payload
                == [UInt64(first.end), footer.sequence].flatMap { number in
                    (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
                })
    }

    @Test("A segment goes when all in it is settled and durable, and its successors stand alone")
    func retention() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        try roll(life)
        try roll(life)
        let lastOfFirst = try directory.log().segments[1].firstSequence - 1
        try life.settle(lastOfFirst - 1, state: "kept")
        try life.sync()
        #expect(try directory.names().contains("0000000001.segment"))
        try life.settle(lastOfFirst)
        try life.flush()
        #expect(try directory.names().contains("0000000001.segment"))
        try life.sync()
        #expect(try !directory.names().contains("0000000001.segment"))

        let again = try Life(directory)
        #expect(again.known == life.known)
        #expect(again.known.standing.state?.bytes == Array("kept".utf8))
        #expect(again.known.standing.release?.version == "1")
        #expect(again.report.messages == again.mailbox.unsettledCount)
        #expect(try directory.log().segments.first?.ordinal == 2)
    }

    @Test("Every base record says exactly what the log before it says")
    func bases() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        for round in 1...5 {
            try life.switchTo("\(round)")
            try roll(life)
            let next = life.mailbox.standing.settled.value + 1
            try life.attempt(next)
            try life.attempt(next + 1)
            try life.bury(next + 1, count: 300 * round)
            try life.settle(next, state: "state \(round)", format: UInt32(round % 2))
            if round == 2 { try life.forget(life.mailbox.standing.deadLetters[0].sequence) }
            if round == 4 { try life.confirm() }
        }
        try life.sync()
        let known = try Life(directory).known
        // Without the segments before, the rest must say the same.
        for ordinal in 1...4 {
            let files = try directory.contents()
            let alone = try TemporaryDirectory()
            try alone.restore(files.filter { $0.key >= "000000000\(ordinal + 1)" })
            // What is not settled in the segments that are gone is missing, and that is told.
            let first = try #require(try alone.log().segments.first)
            if first.firstSequence > known.standing.needed.value + 1 {
                #expect(throws: StoreError.self) { try Life(alone) }
                continue
            }
            #expect(try Life(alone).known == known)
        }
    }

    @Test("A segment of the largest size is used again, and what it held before is not seen")
    func recycled() throws {
        let directory = try TemporaryDirectory()
        var life = try Life(directory)
        var recycled = 0
        while life.mailbox.readable.segment < 12 {
            try life.append(60_000)
            try life.settleAll()
            try life.flush()
            let targets = life.mailbox.needsSync
            #expect(targets)
            try life.sync()
            if life.mailbox.readable.segment % 3 == 0, life.mailbox.appended.value % 50 == 0 {
                let known = life.known
                life = try Life(directory)
                #expect(life.known == known)
                #expect(life.report.bytesDropped == 0)
            }
            recycled = max(recycled, try directory.names().count { $0 == "spare" })
        }
        #expect(recycled == 1)
        let log = try directory.log()
        #expect(log.segments.allSatisfy { $0.byteCount == 16 << 20 })
        let known = life.known
        #expect(try Life(directory).known == known)
    }

    @Test("A sync that began before there was a successor lets go of nothing")
    func earlySync() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.append(4000)
        try life.settleAll(state: "all")
        try life.flush()
        life.beginSync()
        let ordinal = life.mailbox.readable.segment
        while life.mailbox.readable.segment == ordinal {
            try life.settle(1, state: String(repeating: "s", count: 3000))
            try life.flush()
        }
        try life.endSync()
        life.keepHouse()
        #expect(try directory.names().contains("0000000001.segment"))
        #expect(try directory.log().segments.first?.footer == nil)
        try life.sync()
        #expect(try !directory.names().contains("0000000001.segment"))
    }

    @Test("A sync lets go only of what the log itself says is settled")
    func gathered() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try roll(life)
        try life.append(4000)
        try life.settleAll(state: "all")
        // Neither this message nor what was settled is written yet.
        life.beginSync()
        try life.endSync()
        life.keepHouse()
        let again = try Life(directory)
        #expect(again.mailbox.appended == SequenceNumber(life.mailbox.appended.value - 1))
        #expect(again.mailbox.standing == MailboxMachine())
        #expect(try directory.names().contains("0000000001.segment"))
    }

    @Test("A spare that is too small is replaced by one that is not")
    func smallSpare() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        // Half a segment: a spare of the next size is made.
        while life.mailbox.readable.offset < 140_000 {
            try life.append(4000)
            try life.flush()
        }
        #expect(life.keepHouse().count == 1)
        // A message that this spare does not hold.
        try life.append(700_000)
        try life.flush()
        life.keepHouse()
        #expect(life.mailbox.readable.segment == 2)
        var spares = 0
        for _ in 0..<30 {
            try life.append(60_000)
            try life.flush()
            spares += life.keepHouse().count
        }
        #expect(spares > 0, "from here on every segment is made while clients wait")
    }

    @Test(
        "A message that just fits the spare, or just does not, never reaches over a segment's end")
    func exactFit() throws {
        for size in stride(
            from: (512 << 10) - 4096 - 400, to: (512 << 10) - 4096,
            by: Thoroughness.isFull ? 4 : 100)
        {
            let directory = try TemporaryDirectory()
            let life = try Life(directory)
            while life.mailbox.readable.offset < 140_000 {
                try life.append(4000)
                try life.flush()
            }
            #expect(life.keepHouse().count == 1)
            try life.append(size)
            try life.sync()
            try roll(life)
            try life.sync()
            for (name, bytes) in try directory.contents() where name != "spare" {
                let log = try directory.log()
                let segment = try #require(log.segments.first { $0.name == name })
                try #require(segment.byteCount == bytes.count && segment.end <= bytes.count - 48)
            }
            let isSame = try Life(directory).known == life.known
            try #require(isSame, "a message of \(size) bytes")
        }
    }

    @Test("A mailbox at its limit takes messages again when what it holds is settled")
    func limit() throws {
        for limit in [1, 300 << 10, 1 << 20, 3 << 20] {
            let directory = try TemporaryDirectory()
            let life = try Life(directory, byteLimit: limit)
            for _ in 0..<3 {
                var count = 0
                while count < 3000 {
                    do throws(StoreError) { try life.append(4000) } catch {
                        #expect(error == .full(limit: limit))
                        break
                    }
                    count += 1
                }
                #expect(count < 3000, "a limit of \(limit) bytes does not bound it")
                #expect(count > 0, "a limit of \(limit) bytes bars it for good")
                try life.settleAll()
                try life.sync()
                try life.sync()
            }
            #expect(try Life(directory).known == life.known)
        }
    }

    @Test("A message is found from the place that the mailbox names for it")
    func positions() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        for _ in 0..<3 {
            try life.settleAll()
            try roll(life, 900)
        }
        try life.append(10)
        try life.sync()
        for life in [life, try Life(directory)] {
            let log = try directory.log()
            for segment in log.segments {
                for batch in segment.batches {
                    for record in batch.records where record.kind == .message {
                        let place = life.mailbox.position(of: SequenceNumber(record.sequence))
                        #expect(place.segment == segment.ordinal)
                        let starts = segment.batches.map(\.range.lowerBound)
                        #expect(starts.contains(Int(place.offset)))
                        #expect(Int(place.offset) <= batch.range.lowerBound)
                        #expect(batch.range.lowerBound - Int(place.offset) < 80 << 10)
                    }
                }
            }
            let next = life.mailbox.appended.next
            #expect(life.mailbox.position(of: next) <= life.mailbox.readable)
        }
    }
}
