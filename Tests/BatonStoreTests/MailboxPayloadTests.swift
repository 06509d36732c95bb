// What a mailbox knows, as the payload of a base record and back.

import BatonCore
import BatonStore
import Testing

@Suite("The payload of a base record")
struct MailboxPayloadTests {
    private func decode(_ bytes: [UInt8]) -> MailboxMachine? {
        unsafe bytes.withUnsafeBytes { unsafe MailboxMachine($0) }
    }

    /// Whatever a machine may hold, whether events lead there or not.
    private func machine(_ generator: inout SeededGenerator) -> MailboxMachine {
        func number(_ most: UInt64) -> UInt64 { UInt64.random(in: 0...most, using: &generator) }
        func bytes(_ most: Int) -> [UInt8] {
            (0..<Int.random(in: 0...most, using: &generator)).map { UInt8($0 & 255) }
        }
        func release() -> MailboxMachine.Release {
            var release = Life.release("\(number(1 << 40))")
            release.version = String(repeating: "v", count: Int(number(63)))
            return release
        }
        func state() -> MailboxMachine.State? {
            let kind = number(3)
            guard kind > 0 else { return nil }
            let checkpoint = Checkpoint(
                slot: UInt8(number(2)), byteCount: Int(number(1 << 40)), crc: UInt32(number(9999)))
            return MailboxMachine.State(
                bytes: kind == 1 ? [] : bytes(500), version: "\(number(1 << 60))",
                format: UInt32(number(5)), checkpoint: kind == 1 ? checkpoint : nil)
        }
        var machine = MailboxMachine()
        machine.settled = SequenceNumber(number(1 << 50))
        machine.state = state()
        if number(1) == 0 {
            machine.earlier = MailboxMachine.Earlier(
                state: state(), settled: SequenceNumber(number(1 << 50)))
        }
        switch number(2) {
        case 0: machine.tenure = .none
        case 1: machine.tenure = .confirmed(release())
        default:
            machine.tenure = .provisional(
                release(),
                MailboxMachine.Fallback(
                    release: release(), state: state(), settled: SequenceNumber(number(9))))
        }
        machine.switchedAfter = SequenceNumber(number(1 << 50))
        machine.upgrades = number(1 << 60)
        for _ in 0..<number(5) { machine.attempts[number(.max)] = UInt32(number(9)) }
        for _ in 0..<number(5) { machine.dead.insert(number(.max)) }
        for _ in 0..<number(8) {
            let cause = MailboxMachine.Cause(rawValue: UInt8(number(4))) ?? .boot
            machine.history.append(
                MailboxMachine.Past(release: release(), at: number(.max), cause: cause))
        }
        machine.bootID = number(1) == 0 ? [] : Array(0..<16)
        for _ in 0..<number(5) {
            machine.deadLetters.append(
                MailboxMachine.DeadLetter(
                    sequence: number(.max), attempts: UInt32(number(9)),
                    version: "\(number(99))", at: number(.max), bytes: bytes(900)))
        }
        machine.deadLetterCount = number(.max)
        for index in 0..<number(6) {
            let identity = IDWindow.Identity(
                key: IDWindow.Key(client: bytes(70), id: bytes(64)),
                digest: UInt128(number(.max)) << 64 | UInt128(number(.max)), at: number(.max))
            let answers: [IDWindow.Answer?] = [
                nil, .reply(bytes(300)), .error(code: "NO", text: "\(number(.max)) reasons"),
            ]
            let fits = machine.ids.restore(
                IDWindow.Entry(
                    sequence: index * 1000 + number(999) + 1, identity: identity,
                    answer: answers[Int(number(2))]))
            precondition(fits)
        }
        return machine
    }

    @Test("All of it comes back, and its size is known beforehand")
    func thereAndBack() throws {
        var generator = SeededGenerator(state: 11)
        for round in 0..<500 {
            let machine = machine(&generator)
            let bytes = machine.encoded()
            try #require(bytes.count == machine.encodedByteCount, "round \(round)")
            try #require(decode(bytes) == machine, "round \(round)")
        }
    }

    @Test("One that was cut is none, or what format 1 or 2 would have said")
    func cut() throws {
        var generator = SeededGenerator(state: 12)
        for _ in 0..<10 {
            let machine = machine(&generator)
            let bytes = machine.encoded()
            var short: [MailboxMachine] = []
            for count in 0..<bytes.count {
                if let found = decode(Array(bytes[..<count])) { short.append(found) }
            }
            var second = machine
            second.ids = IDWindow()
            second.earlier = nil
            if second.state?.checkpoint != nil { second.state = nil }
            if case .provisional(let release, var fallback) = second.tenure,
                fallback.state?.checkpoint != nil
            {
                fallback.state = nil
                second.tenure = .provisional(release, fallback)
            }
            var first = second
            first.state?.format = 0
            if let release = machine.release { first.tenure = .confirmed(release) }
            first.bootID = []
            first.history = []
            first.deadLetters = []
            #expect(short == [first, second])
        }
    }

    @Test("Counts that promise more than there is are no payload")
    func absurd() {
        // Attempts, messages passed over, boot identity, history, dead letters, ids.
        for (offset, count) in [(33, 4), (37, 4), (46, 1), (47, 4), (51, 4), (55, 4)] {
            var bytes = MailboxMachine().encoded()
            #expect(bytes.count == 62)
            for index in offset..<offset + count { bytes[index] = 0xff }
            #expect(decode(bytes) == nil, "at \(offset)")
        }
    }
}
