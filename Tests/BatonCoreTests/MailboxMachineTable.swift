// The states of a mailbox's machine, the events, and what each must make of each.

import BatonCore

enum MailboxPlace: String, CaseIterable, Codable, Sendable {
    case none, confirmed, provisional

    /// In every place: the cursor at 6 with the state "six", a failed attempt at 7, dead letters 4
    /// and 8. The switch to the provisional one was after 2, with the state "two".
    var machine: MailboxMachine {
        var machine = MailboxMachine()
        if self != .none { machine.apply(Release.a.newly()) }
        _ = machine.settle(upTo: SequenceNumber(2), state: Array("two".utf8), format: 1)
        _ = machine.bury(4, Self.letter(4))
        if self == .provisional { machine.apply(Release.b.newly()) }
        _ = machine.settle(upTo: SequenceNumber(6), state: Array("six".utf8), format: 1)
        machine.recordAttempt(at: 7, count: 1)
        _ = machine.bury(8, Self.letter(8))
        return machine
    }

    static func letter(_ sequence: UInt64) -> MailboxMachine.DeadLetter {
        MailboxMachine.DeadLetter(
            sequence: sequence, attempts: 3, version: "x", at: sequence * 10,
            bytes: [UInt8(sequence)])
    }

    static func state(_ text: String, by version: String, format: UInt32 = 1)
        -> MailboxMachine.State
    {
        MailboxMachine.State(bytes: Array(text.utf8), version: version, format: format)
    }

    /// What there is to fall back to in the provisional place.
    static let fallback = MailboxMachine.Fallback(
        release: Release.a.release, state: state("two", by: "a"), settled: SequenceNumber(2))
}

/// Three images.
enum Release: String, Sendable {
    case a, b, c

    var release: MailboxMachine.Release {
        let byte = rawValue.utf8.first ?? 0
        guard let digest = ImageDigest([UInt8](repeating: byte, count: 32)) else {
            preconditionFailure("32 bytes")
        }
        return MailboxMachine.Release(digest: digest, version: rawValue)
    }

    func newly(
        _ cause: MailboxMachine.Cause = .upgrade, state: MailboxMachine.State? = nil,
        dropsState: Bool = false
    ) -> MailboxMachine.Switch {
        MailboxMachine.Switch(
            release: release, cause: cause, at: 99, bootID: Array(0..<16), state: state,
            dropsState: dropsState)
    }
}

enum MailboxEvent: String, CaseIterable, Codable, Sendable {
    case settle7, settle9WithState, settleHereWithState, settleBack
    case confirm
    case switchToA, switchToB, switchToC, rollBackToA, rollBackToNoState
    case attempt7, attempt9
    case bury9, bury8, bury3, bury2, bury9WithoutLetter
    case forget4, forget5

    /// - Returns: whether it fitted; `true` where that is not asked.
    func happen(to machine: inout MailboxMachine) -> Bool {
        switch self {
        case .settle7: return machine.settle(upTo: SequenceNumber(7), state: nil, format: 0)
        case .settle9WithState:
            return machine.settle(
                upTo: SequenceNumber(9), state: Array("nine".utf8), format: 5)
        case .settleHereWithState:
            return machine.settle(upTo: SequenceNumber(6), state: Array("more".utf8), format: 0)
        case .settleBack:
            return machine.settle(upTo: SequenceNumber(5), state: Array("back".utf8), format: 0)
        case .confirm: return machine.confirm()
        case .switchToA: machine.apply(Release.a.newly())
        case .switchToB: machine.apply(Release.b.newly())
        case .switchToC: machine.apply(Release.c.newly())
        case .rollBackToA:
            machine.apply(
                Release.a.newly(.rollback, state: MailboxPlace.state("again", by: "a")))
        case .rollBackToNoState: machine.apply(Release.a.newly(.byHand, dropsState: true))
        case .attempt7: machine.recordAttempt(at: 7, count: 2)
        case .attempt9: machine.recordAttempt(at: 9, count: 1)
        case .bury9: return machine.bury(9, MailboxPlace.letter(9))
        case .bury8: return machine.bury(8, MailboxPlace.letter(8))
        case .bury3: return machine.bury(3, MailboxPlace.letter(3))
        case .bury2: return machine.bury(2, MailboxPlace.letter(2))
        case .bury9WithoutLetter: return machine.bury(9, nil)
        case .forget4: return machine.forget(4)
        case .forget5: return machine.forget(5)
        }
        return true
    }
}

/// What an event changes; nothing else may.
enum MailboxChange: Sendable {
    case settled(UInt64)
    case state(MailboxMachine.State?)
    case confirmed(Release)
    case provisional(Release, MailboxMachine.Fallback)
    /// A switch after 6 is remembered.
    case switched(Release, MailboxMachine.Cause)
    case attempts([UInt64: UInt32])
    case dead(Set<UInt64>)
    case deadLetters([UInt64], count: UInt64)

    func apply(to machine: inout MailboxMachine) {
        switch self {
        case .settled(let sequence): machine.settled = SequenceNumber(sequence)
        case .state(let state): machine.state = state
        case .confirmed(let release): machine.tenure = .confirmed(release.release)
        case .provisional(let release, let fallback):
            machine.tenure = .provisional(release.release, fallback)
        case .switched(let release, let cause):
            machine.history.append(
                MailboxMachine.Past(release: release.release, at: 99, cause: cause))
            machine.bootID = Array(0..<16)
            machine.switchedAfter = SequenceNumber(6)
            if cause == .upgrade, machine.history.count > 1 { machine.upgrades += 1 }
        case .attempts(let attempts): machine.attempts = attempts
        case .dead(let dead): machine.dead = dead
        case .deadLetters(let letters, let count):
            machine.deadLetters = letters.map(MailboxPlace.letter)
            machine.deadLetterCount = count
        }
    }
}

enum MailboxTable {
    private static func state(_ text: String, _ version: String, _ format: UInt32 = 1)
        -> MailboxMachine.State
    {
        MailboxPlace.state(text, by: version, format: format)
    }

    /// What one that is provisional from here on can fall back to.
    private static let fallback = MailboxMachine.Fallback(
        release: Release.a.release, state: state("six", "a"), settled: SequenceNumber(6))

    /// What is the same in every place, but for the version that makes the state.
    private static func anywhere(_ version: String) -> [MailboxEvent: [MailboxChange]] {
        [
            .settle7: [.settled(7), .attempts([:])],
            .settle9WithState: [
                .settled(9), .attempts([:]), .dead([]), .state(state("nine", version, 5)),
            ],
            .settleHereWithState: [.state(state("more", version, 0))],
            .attempt7: [.attempts([7: 2])],
            .attempt9: [.attempts([7: 1, 9: 1])],
            .bury9: [.dead([8, 9]), .deadLetters([4, 8, 9], count: 3)],
            .bury9WithoutLetter: [.dead([8, 9]), .deadLetters([4, 8], count: 3)],
            .forget4: [.deadLetters([8], count: 2)],
        ]
    }

    /// What an event does not change in a place, it is not listed with; it does not fit then.
    static let rows: [MailboxPlace: [MailboxEvent: [MailboxChange]]] = [
        .none: anywhere("").merging([
            .switchToA: [.confirmed(.a), .switched(.a, .upgrade)],
            .switchToB: [.confirmed(.b), .switched(.b, .upgrade)],
            .switchToC: [.confirmed(.c), .switched(.c, .upgrade)],
            .rollBackToA: [
                .confirmed(.a), .switched(.a, .rollback), .state(state("again", "a")),
            ],
            .rollBackToNoState: [.confirmed(.a), .switched(.a, .byHand), .state(nil)],
        ]) { $1 },
        .confirmed: anywhere("a").merging([
            .switchToA: [.confirmed(.a), .switched(.a, .upgrade)],
            .switchToB: [.provisional(.b, fallback), .switched(.b, .upgrade)],
            .switchToC: [.provisional(.c, fallback), .switched(.c, .upgrade)],
            .rollBackToA: [
                .confirmed(.a), .switched(.a, .rollback), .state(state("again", "a")),
            ],
            .rollBackToNoState: [.confirmed(.a), .switched(.a, .byHand), .state(nil)],
        ]) { $1 },
        .provisional: anywhere("b").merging([
            // Messages after 2 may be handled once more, by the fallback.
            .settle9WithState: [
                .settled(9), .attempts([:]), .state(state("nine", "b", 5)),
            ],
            .bury9: [.dead([4, 8, 9]), .deadLetters([4, 8, 9], count: 3)],
            .bury9WithoutLetter: [.dead([4, 8, 9]), .deadLetters([4, 8], count: 3)],
            .bury3: [.dead([3, 4, 8]), .deadLetters([4, 8, 3], count: 3)],
            .confirm: [.confirmed(.b), .dead([8])],
            .switchToA: [.confirmed(.a), .switched(.a, .upgrade), .dead([8])],
            .switchToB: [
                .provisional(.b, MailboxPlace.fallback), .switched(.b, .upgrade),
            ],
            .switchToC: [
                .provisional(.c, MailboxPlace.fallback), .switched(.c, .upgrade),
            ],
            .rollBackToA: [
                .confirmed(.a), .switched(.a, .rollback), .dead([8]),
                .state(state("again", "a")),
            ],
            .rollBackToNoState: [
                .confirmed(.a), .switched(.a, .byHand), .dead([8]), .state(nil),
            ],
        ]) { $1 },
    ]
}
