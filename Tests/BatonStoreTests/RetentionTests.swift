// What stays of a log though it is settled: for a rollback, and for who reads it once more.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("What stays of a mailbox")
struct RetentionTests {
    /// Handles messages until the log goes on in another segment.
    private func roll(_ life: Life) throws(StoreError) {
        let ordinal = life.mailbox.readable.segment
        while life.mailbox.readable.segment == ordinal {
            try life.append(9000)
            try life.settleAll(state: "state \(life.mailbox.appended)")
            try life.flush()
            life.keepHouse()
        }
        try life.sync()
    }

    private func sizes(_ directory: TemporaryDirectory) throws -> [Int] {
        try directory.log().segments.map(\.byteCount)
    }
    private func ordinals(_ directory: TemporaryDirectory) throws -> [UInt32] {
        try directory.log().segments.map(\.ordinal)
    }

    /// Provisional since after the message that is returned, in segment 2; now in segment 4.
    private func provisional(_ life: Life) throws(StoreError) -> UInt64 {
        try life.switchTo("1")
        try roll(life)
        try life.append(100)
        try life.settleAll(state: "at the switch")
        try life.switchTo("2")
        let last = life.mailbox.appended.value
        try roll(life)
        try roll(life)
        return last
    }

    @Test("Segments with messages after a provisional switch stay, and go when it is confirmed")
    func confirmed() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        let last = try provisional(life)
        #expect(life.mailbox.unsettledCount == 0)
        #expect(try ordinals(directory) == [2, 3, 4])
        #expect(life.mailbox.oldestKept.value <= last + 1)
        let kept = try sizes(directory).dropLast().reduce(0, +)
        #expect(life.mailbox.keptBytes == kept)
        let couldLetGo = life.mailbox.couldLetGo
        #expect(!couldLetGo)
        #expect(try Life(directory).known == life.known)

        try life.confirm()
        let couldLetGoNow = life.mailbox.couldLetGo
        #expect(couldLetGoNow && life.mailbox.keptBytes == 0)
        #expect(try ordinals(directory) == [2, 3, 4])
        try life.sync()
        #expect(try ordinals(directory) == [4])
        #expect(try Life(directory).known == life.known)
    }

    @Test("They stay in the next life too")
    func reopened() throws {
        let directory = try TemporaryDirectory()
        let last = try provisional(Life(directory))
        let life = try Life(directory)
        try roll(life)
        #expect(try ordinals(directory) == [2, 3, 4, 5])
        #expect(life.mailbox.keptBytes == (try sizes(directory).dropLast().reduce(0, +)))
        let first = try life.message(last + 1)
        #expect(first == Life.message(last + 1, count: 9000))
        try life.switchTo("1", .rollback, state: "back")
        try life.sync()
        #expect(try ordinals(directory) == [5])
        #expect(try Life(directory).known == life.known)
    }

    @Test("They go only when it is durable that they are not needed")
    func durable() throws {
        for rollsBack in [false, true] {
            let directory = try TemporaryDirectory()
            let life = try Life(directory)
            _ = try provisional(life)
            try life.append(1)
            try life.flush()
            life.beginSync()
            if rollsBack { try life.switchTo("1", .boot) } else { try life.confirm() }
            try life.flush()
            try life.endSync()
            life.keepHouse()
            #expect(try ordinals(directory) == [2, 3, 4])
            try life.sync()
            #expect(try ordinals(directory) == [4])
        }
    }

    @Test("Another upgrade in between keeps what the first one needs")
    func another() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        let last = try provisional(life)
        try life.switchTo("3")
        try roll(life)
        #expect(try ordinals(directory) == [2, 3, 4, 5])
        #expect(life.mailbox.standing.needed.value == last)
    }

    @Test("A segment that a rollback needs is missed")
    func missing() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        let last = try provisional(life)
        try directory.remove("0000000002.segment")
        let files = try directory.contents()
        do throws(StoreError) {
            _ = try Life(directory)
            Issue.record("it was opened")
        } catch {
            guard case .corrupt(let place, let reason) = error else { throw error }
            #expect(place.hasSuffix("0000000003.segment"))
            #expect(reason.hasPrefix("messages \(last + 1) to "))
        }
        #expect(try directory.holds(files))
    }

    @Test("What somebody reads once more stays as long as he says, and not in the next life")
    func keepFrom() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        try roll(life)
        life.keep(from: life.mailbox.appended)
        let oldest = life.mailbox.appended.next
        for _ in 0..<3 { try roll(life) }
        #expect(try ordinals(directory) == [2, 3, 4, 5])
        #expect(life.mailbox.oldestKept <= oldest)
        #expect(life.mailbox.keptBytes == (try sizes(directory).dropLast().reduce(0, +)))

        life.keep(from: SequenceNumber(try directory.log().segments[2].firstSequence - 1))
        let couldLetGo = life.mailbox.couldLetGo
        #expect(couldLetGo)
        try life.sync()
        #expect(try ordinals(directory) == [4, 5])
        let again = try Life(directory)
        #expect(try ordinals(directory) == [4, 5])
        try again.sync()
        #expect(try ordinals(directory) == [5])
    }

    @Test("What is kept does not count for the limit; what waits does")
    func limit() throws {
        let directory = try TemporaryDirectory()
        let limit = 1 << 20
        let life = try Life(directory, byteLimit: limit)
        _ = try provisional(life)
        for _ in 0..<3 { try roll(life) }
        #expect(life.mailbox.keptBytes > 2 * limit)
        #expect(throws: StoreError.full(limit: limit)) {
            for _ in 0..<10_000 { try life.append(9000) }
        }
        try life.settleAll()
        try life.sync()
        try life.append(9000)
        try life.confirm()
        try life.sync()
        #expect(life.mailbox.keptBytes == 0)
        #expect(try Life(directory).known == life.known)
    }

    // MARK: Single messages

    @Test("Each message that is in the log is read back, whichever life it is from")
    func messages() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        try life.switchTo("2")
        let counts = [0, 1, 7, 8, 300, 9000, 70_000, 200_000, 1 << 20, 3, 500_000]
        for count in counts + counts { try life.append(count) }
        for _ in 0..<3000 { try life.append(60) }
        let expected = (counts + counts + [Int](repeating: 60, count: 3000)).enumerated().map {
            (UInt64($0.offset) + 1, $0.element)
        }
        try life.settle(20, state: "twenty")
        // Some are not written yet.
        try life.append(33)
        #expect(try life.message(life.mailbox.appended.value) == Life.message(3023, count: 33))
        try life.sync()
        for life in [life, try Life(directory)] {
            for (sequence, count) in expected where sequence < 30 || sequence % 97 == 0 {
                let message = try life.message(sequence)
                try #require(message == Life.message(sequence, count: count), "\(sequence)")
            }
            #expect(try life.message(3024) == nil && life.message(0) == nil)
        }
    }

    @Test("A message whose segment has gone is not there")
    func gone() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try roll(life)
        #expect(try ordinals(directory) == [2])
        #expect(try life.message(1) == nil)
        let oldest = life.mailbox.oldestKept.value
        #expect(try life.message(oldest - 1) == nil)
        #expect(try life.message(oldest) == Life.message(oldest, count: 9000))
    }

    @Test("A message that is damaged is told, and its neighbours are read")
    func damaged() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        for _ in 0..<5 { try life.append(1000) }
        try life.sync()
        let segment = try #require(try directory.log().segments.first)
        let record = try #require(
            segment.batches.flatMap(\.records).first { $0.sequence == 3 && $0.kind == .message })
        try directory.write([0xee], to: segment.name, at: record.range.lowerBound + 500)
        #expect(try life.message(2) == Life.message(2, count: 1000))
        #expect(try life.message(4) == Life.message(4, count: 1000))
        #expect(throws: StoreError.self) { try life.message(3) }
    }
}
