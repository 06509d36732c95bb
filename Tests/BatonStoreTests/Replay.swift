// What a log means, said a second time: the standing that follows from its records.

import BatonCore
import BatonStore

extension LogImage {
    /// What is known after the first `count` batches. Every base record on the way must say what
    /// those before it say; that the log begins with.
    func known(afterBatches count: Int) throws(Fault) -> Life.Known {
        try history(of: batches.prefix(count).flatMap(\.records)).last ?? Life.Known()
    }

    /// What is known after each record.
    func history() throws(Fault) -> [Life.Known] { try history(of: records) }

    private func history(of records: [Record]) throws(Fault) -> [Life.Known] {
        var replay = Replay(next: segments.first?.firstSequence ?? 1)
        var history: [Life.Known] = []
        for (index, record) in records.enumerated() {
            try replay.apply(record, isFirst: index == 0)
            history.append(
                Life.Known(
                    appended: SequenceNumber(replay.next - 1), standing: filled(replay.standing)))
        }
        return history
    }

    private func filled(_ standing: MailboxMachine) -> MailboxMachine {
        var standing = standing
        if let state = standing.state { standing.state = filled(state) }
        if case .provisional(let release, var fallback) = standing.tenure,
            let state = fallback.state
        {
            fallback.state = filled(state)
            standing.tenure = .provisional(release, fallback)
        }
        return standing
    }

    /// With the bytes that its slot holds, if they are those that the log names.
    private func filled(_ state: MailboxMachine.State) -> MailboxMachine.State {
        guard let checkpoint = state.checkpoint else { return state }
        var filled = state
        filled.bytes = content(of: checkpoint) ?? []
        return filled
    }
}

extension MailboxMachine.State {
    /// Without its bytes, if they lie in a slot.
    fileprivate var named: MailboxMachine.State {
        var named = self
        if checkpoint != nil { named.bytes = [] }
        return named
    }
}

private struct Replay {
    var next: UInt64
    var standing = MailboxMachine()

    mutating func apply(_ record: LogImage.Record, isFirst: Bool) throws(LogImage.Fault) {
        var fields = Fields(record.payload)
        switch record.kind {
        case .message:
            guard record.sequence == next else {
                throw LogImage.Fault("message \(record.sequence) where \(next) is due")
            }
            next += 1
        case .settle:
            let before = standing.settled
            standing.settled = SequenceNumber(record.sequence)
            if record.flags & 4 == 4 {
                let leads = record.flags & 8 == 8 || before < standing.settled
                standing.earlier =
                    leads
                    ? MailboxMachine.Earlier(state: standing.state?.named, settled: before) : nil
                standing.state = fields.slotted()
            } else if record.flags & 1 == 1 {
                standing.earlier = nil
                let format = record.flags & 2 == 2 ? fields.integer(4) : 0
                standing.state = MailboxMachine.State(
                    bytes: fields.rest(), version: standing.release?.version ?? "",
                    format: UInt32(format))
            }
            standing.attempts = standing.attempts.filter { $0.key > record.sequence }
        case .switch: try apply(&fields, after: record.sequence)
        case .confirm:
            if let release = standing.release { standing.tenure = .confirmed(release) }
        case .attempt: standing.attempts[record.sequence] = UInt32(fields.integer(4))
        case .deadLetter:
            guard record.sequence > passed, standing.dead.insert(record.sequence).inserted else {
                break
            }
            standing.deadLetterCount += 1
            if !fields.isAtEnd {
                standing.deadLetters.append(fields.letter(record.sequence))
            }
        case .forget: standing.deadLetters.removeAll { $0.sequence == record.sequence }
        case .identity:
            let forgotten = fields.integer(8)
            let entry = IDWindow.Entry(
                sequence: record.sequence, identity: fields.identity(), answer: nil)
            guard record.sequence == next - 1 else {
                throw LogImage.Fault("an id of message \(record.sequence) behind \(next - 1)")
            }
            standing.remember(standing.ids.all.filter { $0.sequence > forgotten } + [entry])
        case .answer:
            let forgotten = fields.integer(8)
            let answer = fields.answer(fields.integer(1))
            standing.remember(
                standing.ids.all.filter { $0.sequence > forgotten }.map { entry in
                    guard entry.sequence == record.sequence else { return entry }
                    return IDWindow.Entry(
                        sequence: entry.sequence, identity: entry.identity, answer: answer)
                })
        case .base:
            let base = fields.standing()
            guard isFirst || base == standing else {
                throw LogImage.Fault("a base record says something else: \(base), \(standing)")
            }
            guard record.sequence == base.settled.value else {
                throw LogImage.Fault("a base record's number is not the cursor")
            }
            standing = base
        case .epoch: break
        case .batch, .footer: throw LogImage.Fault("a \(record.kind) within a batch")
        }
        standing.dead = standing.dead.filter { $0 > passed }
    }

    /// No host handles messages up to here again.
    private var passed: UInt64 {
        let settled = (standing.earlier?.settled ?? standing.settled).value
        guard case .provisional(_, let fallback) = standing.tenure else { return settled }
        return min(settled, fallback.settled.value)
    }

    private mutating func apply(_ fields: inout Fields, after sequence: UInt64)
        throws(LogImage.Fault)
    {
        guard let release = fields.release() else { throw LogImage.Fault("a switch to nothing") }
        var past = MailboxMachine.Past(release: release, at: 0, cause: .upgrade)
        let isOfFormat1 = fields.isAtEnd
        let before = standing
        standing.bootID = []
        if !isOfFormat1 {
            past = fields.past(release)
            standing.bootID = fields.raw(Int(fields.integer(1)))
            switch fields.integer(1) {
            case 0: break
            case let kind:
                standing.earlier = nil
                standing.state =
                    kind == 1 ? fields.state() : kind == 3 ? fields.slotted() : nil
            }
        }
        switch before.tenure {
        case .none: standing.tenure = .confirmed(release)
        case .confirmed(let old)
        where old.digest != release.digest && !isOfFormat1 && past.cause == .upgrade:
            standing.tenure = .provisional(
                release,
                MailboxMachine.Fallback(release: old, state: before.state, settled: before.settled))
        case .confirmed: standing.tenure = .confirmed(release)
        case .provisional(_, let fallback):
            standing.tenure =
                fallback.release.digest == release.digest || isOfFormat1
                ? .confirmed(release) : .provisional(release, fallback)
        }
        if before.release != nil, past.cause == .upgrade { standing.upgrades += 1 }
        standing.history = (standing.history + [past]).suffix(8)
        standing.switchedAfter = SequenceNumber(sequence)
    }
}

extension MailboxMachine {
    fileprivate mutating func remember(_ entries: [IDWindow.Entry]) {
        ids = IDWindow()
        for entry in entries { _ = ids.restore(entry) }
    }
}

/// Reads a payload's fields.
private struct Fields {
    private var remaining: ArraySlice<UInt8>

    init(_ payload: [UInt8]) { remaining = payload[...] }

    var isAtEnd: Bool { remaining.isEmpty }

    mutating func integer(_ count: Int) -> UInt64 {
        raw(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    mutating func raw(_ count: Int) -> [UInt8] {
        defer { remaining = remaining.dropFirst(count) }
        return Array(remaining.prefix(count))
    }
    mutating func rest() -> [UInt8] { raw(remaining.count) }
    mutating func short() -> String { String(decoding: raw(Int(integer(1))), as: UTF8.self) }

    mutating func release() -> MailboxMachine.Release? {
        guard let digest = ImageDigest(raw(32)) else { return nil }
        return MailboxMachine.Release(digest: digest, version: short())
    }

    mutating func state() -> MailboxMachine.State {
        let version = short()
        let format = UInt32(integer(4))
        return MailboxMachine.State(
            bytes: raw(Int(integer(4))), version: version, format: format)
    }

    mutating func past(_ release: MailboxMachine.Release) -> MailboxMachine.Past {
        let cause = MailboxMachine.Cause(rawValue: UInt8(integer(1))) ?? .boot
        return MailboxMachine.Past(release: release, at: integer(8), cause: cause)
    }

    mutating func letter(_ sequence: UInt64) -> MailboxMachine.DeadLetter {
        let attempts = UInt32(integer(4))
        let version = short()
        let at = integer(8)
        return MailboxMachine.DeadLetter(
            sequence: sequence, attempts: attempts, version: version, at: at,
            bytes: raw(Int(integer(4))))
    }

    mutating func standing() -> MailboxMachine {
        var standing = MailboxMachine()
        standing.settled = SequenceNumber(integer(8))
        standing.switchedAfter = SequenceNumber(integer(8))
        standing.upgrades = integer(8)
        standing.deadLetterCount = integer(8)
        let has = integer(1)
        if has & 1 == 1, let release = release() { standing.tenure = .confirmed(release) }
        if has & 2 == 2 {
            let version = short()
            standing.state = MailboxMachine.State(bytes: raw(Int(integer(4))), version: version)
        }
        for _ in 0..<integer(4) {
            let sequence = integer(8)
            standing.attempts[sequence] = UInt32(integer(4))
        }
        for _ in 0..<integer(4) { standing.dead.insert(integer(8)) }
        if !isAtEnd { added(to: &standing) }
        if !isAtEnd { standing.remember(entries()) }
        if !isAtEnd { slots(in: &standing) }
        return standing
    }

    /// What stands in slots, and the earlier state.
    private mutating func slots(in standing: inout MailboxMachine) {
        if let state = wherever() { standing.state = state }
        if let state = wherever(),
            case .provisional(let release, var fallback) = standing.tenure
        {
            fallback.state = state
            standing.tenure = .provisional(release, fallback)
        }
        guard integer(1) == 1 else { return }
        let settled = SequenceNumber(integer(8))
        standing.earlier = MailboxMachine.Earlier(state: wherever(), settled: settled)
    }

    private mutating func wherever() -> MailboxMachine.State? {
        switch integer(1) {
        case 1: state()
        case 2: slotted()
        default: nil
        }
    }

    mutating func slotted() -> MailboxMachine.State {
        let version = short()
        let format = UInt32(integer(4))
        let slot = UInt8(integer(1))
        let byteCount = Int(integer(8))
        return MailboxMachine.State(
            bytes: [], version: version, format: format,
            checkpoint: Checkpoint(slot: slot, byteCount: byteCount, crc: UInt32(integer(4))))
    }

    /// What format 3 has added.
    private mutating func entries() -> [IDWindow.Entry] {
        (0..<integer(4)).map { _ in
            let sequence = integer(8)
            let identity = identity()
            return IDWindow.Entry(
                sequence: sequence, identity: identity, answer: answer(integer(1)))
        }
    }

    mutating func identity() -> IDWindow.Identity {
        let client = raw(Int(integer(1)))
        let key = IDWindow.Key(client: client, id: raw(Int(integer(1))))
        let low = UInt128(integer(8))
        let digest = UInt128(integer(8)) << 64 | low
        return IDWindow.Identity(key: key, digest: digest, at: integer(8))
    }

    mutating func answer(_ mark: UInt64) -> IDWindow.Answer? {
        guard mark > 0 else { return nil }
        let bytes = raw(Int(integer(4)))
        guard mark == 2 else { return .reply(bytes) }
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ", maxSplits: 1)
        return .error(code: String(words[0]), text: words.count > 1 ? String(words[1]) : "")
    }

    /// What format 2 has added.
    private mutating func added(to standing: inout MailboxMachine) {
        let format = UInt32(integer(4))
        standing.state?.format = format
        if integer(1) == 1, let new = standing.release, let old = release() {
            let settled = SequenceNumber(integer(8))
            standing.tenure = .provisional(
                new,
                MailboxMachine.Fallback(
                    release: old, state: integer(1) == 1 ? state() : nil, settled: settled))
        }
        standing.bootID = raw(Int(integer(1)))
        for _ in 0..<integer(4) {
            if let release = release() { standing.history.append(past(release)) }
        }
        for _ in 0..<integer(4) { standing.deadLetters.append(letter(integer(8))) }
    }
}
