// What each released format has left on disk is read by this Baton, and what a newer one has left is
// not touched.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Testing

@Suite("Mailboxes of every format")
struct GoldenTests {
    /// Of format 1, two more were kept as they were found: see Format1Tests.
    @Test("One of format 1: every message, the state, the release, the dead letter")
    func format1() throws {
        let directory = try GoldenDirectory.copy(1)
        let life = try Life(directory)
        #expect(life.mailbox.appended == SequenceNumber(7))
        let standing = life.mailbox.standing
        #expect(standing.settled == SequenceNumber(2))
        #expect(standing.state == MailboxMachine.State(bytes: Array("two".utf8), version: "1"))
        #expect(standing.release?.version == "2" && standing.fallback == nil)
        #expect(standing.dead == [3] && standing.deadLetterCount == 1)
        #expect(standing.attempts == [3: 2, 4: 1])
        for (sequence, count) in [(1, 5), (2, 0), (3, 13), (4, 8), (5, 100), (6, 1), (7, 7)] {
            let message = try life.message(UInt64(sequence))
            #expect(message == Life.message(UInt64(sequence), count: count), "message \(sequence)")
        }
    }

    @Test("One of format 2: the same, what a rollback goes back to, and the letter kept")
    func format2() throws {
        let directory = try GoldenDirectory.copy(2)
        let life = try Life(directory)
        try checkCommon(life)
        #expect(
            life.mailbox.standing.state
                == MailboxMachine.State(bytes: Array("five".utf8), version: "2", format: 4))
        #expect(
            life.mailbox.standing.fallback
                == MailboxMachine.Fallback(
                    release: Life.release("1"),
                    state: MailboxMachine.State(bytes: Array("three".utf8), version: "1"),
                    settled: SequenceNumber(3)))
    }

    @Test("One of format 3: what lies in slots, and what is remembered of ids")
    func format3() throws {
        let directory = try GoldenDirectory.copy(3)
        let life = try Life(directory)
        #expect(life.report.damagedSlot == nil && life.report.damagedFallback == nil)
        #expect(life.mailbox.appended == SequenceNumber(7))
        let standing = life.mailbox.standing
        #expect(standing.settled == SequenceNumber(5))
        #expect(standing.release == Life.release("2"))
        #expect(standing.state?.bytes == Life.state(4, count: 700))
        #expect(standing.state?.format == 4 && standing.state?.checkpoint?.slot == 2)
        let before = standing.earlier?.state
        #expect(standing.earlier?.settled == SequenceNumber(3))
        #expect(before?.checkpoint?.slot == 0 && before?.format == 4)
        #expect(standing.fallback?.release == Life.release("1"))
        #expect(standing.fallback?.settled == SequenceNumber(2))
        #expect(standing.fallback?.state?.bytes == Life.state(2, count: 700))
        #expect(standing.fallback?.state?.format == 3)
        #expect(standing.ids.all.map(\.sequence) == [3, 6])
        #expect(standing.ids.entry(of: 3)?.answer == .reply(Life.message(3, count: 40)))
        #expect(standing.ids.entry(of: 6) != nil && standing.ids.entry(of: 6)?.answer == nil)
        #expect(standing.dead == [4] && standing.deadLetters.map(\.sequence) == [4])
        #expect(standing.attempts == [6: 2])
        for (sequence, count) in [(1, 3), (2, 5), (3, 30), (4, 8), (6, 9), (7, 11)] {
            let message = try life.message(UInt64(sequence))
            #expect(message == Life.message(UInt64(sequence), count: count))
        }
        #expect(try life.message(5) == [UInt8](repeating: 0, count: 260_000))
        // The state's slot was lost: what stands beside it leads there.
        try directory.restore(GoldenDirectory.read(3))
        try directory.remove("checkpoint.c")
        let lost = try #require(try Life(directory).lost)
        #expect(lost.state?.bytes == Life.state(3, count: 700))
        #expect(lost.settled == SequenceNumber(3))
    }

    /// What `make` leaves of formats 1 and 2.
    private func checkCommon(_ life: Life) throws {
        let standing = life.mailbox.standing
        #expect(life.mailbox.appended == SequenceNumber(7))
        #expect(standing.settled == SequenceNumber(5))
        #expect(standing.release == Life.release("2"))
        #expect(standing.attempts == [6: 1] && standing.dead == [4])
        #expect(standing.upgrades == 1 && standing.deadLetterCount == 2)
        #expect(standing.deadLetters.map(\.sequence) == [2, 4])
        #expect(standing.deadLetters.first?.bytes == Life.message(2, count: 40))
        #expect(standing.history.map(\.release.version) == ["1", "2"])
        #expect(standing.bootID == Array(1...16))
        for (sequence, count) in Self.small {
            #expect(try life.message(sequence) == Life.message(sequence, count: count))
        }
        for sequence in Self.large {
            #expect(try life.message(sequence) == [UInt8](repeating: 0, count: 200_000))
        }
    }

    private static let small: [(sequence: UInt64, count: Int)] = [
        (1, 3), (3, 5), (4, 8), (6, 9), (7, 11),
    ]
    private static let large: [UInt64] = [2, 5]

    /// How the golden mailboxes were made, each by the Baton that wrote its format; that of format 1
    /// is Format1Log.kinds. Only a format that was never released may be written again.
    @Test(
        "Leaves a mailbox behind",
        .enabled(if: unsafe getenv("BATON_GOLDEN_FORMAT") != nil))
    func make() throws {
        guard let name = unsafe getenv("BATON_GOLDEN_FORMAT"),
            let format = Int(unsafe String(cString: name))
        else { return }
        switch format {
        case 1: try GoldenDirectory.write(Format1Log.kinds, 1)
        case 2: try make2()
        case 3: try make3()
        default: Issue.record("there is no format \(format)")
        }
    }

    private func make2() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        try life.append(3)
        try life.append([UInt8](repeating: 0, count: 200_000))
        try life.settle(1, state: "one", format: 3)
        try life.sync()
        try life.append(5)
        try life.append(8)
        for _ in 0..<3 { try life.attempt(2) }
        try life.bury(2, count: 40)
        try life.sync()
        try life.settle(3, state: "three")
        try life.switchTo("2")
        try life.sync()
        // It has no room in the first segment.
        try life.append([UInt8](repeating: 0, count: 200_000))
        try life.sync()
        try life.sync()
        let next = try Life(directory)
        try next.append(9)
        try next.bury(4, count: 8)
        try next.settle(5, state: "five", format: 4)
        try next.attempt(6)
        try next.sync()
        try next.append(11)
        try next.flush()
        try GoldenDirectory.write(directory.contents(), 2)
    }

    private func make3() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        for (sequence, count) in [(1, 3), (2, 5)] {
            try life.append(count)
            try life.settle(
                UInt64(sequence), large: Life.state(UInt64(sequence), count: 700), format: 3)
            try life.sync()
        }
        try life.switchTo("2")
        try life.appendWithID(30)
        try life.answer(3, .reply(Life.message(3, count: 40)))
        try life.settle(3, large: Life.state(3, count: 700), format: 4)
        try life.append(8)
        try life.bury(4, count: 8)
        try life.sync()
        try life.settle(4, large: Life.state(4, count: 700), format: 4)
        try life.sync()
        // It has no room in the first segment: the base record names the slots.
        try life.append([UInt8](repeating: 0, count: 260_000))
        try life.sync()
        try life.sync()
        let next = try Life(directory)
        try next.settle(5)
        try next.appendWithID(9)
        for _ in 0..<2 { try next.attempt(6) }
        try next.sync()
        try next.append(11)
        try next.flush()
        try GoldenDirectory.write(directory.contents(), 3)
    }
}
