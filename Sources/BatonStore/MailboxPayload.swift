// The payloads of the records that are events of a MailboxMachine, and of the base record, which is
// all of it. Used in batond.
//
// Each begins as it did in format 1; what formats 2 and 3 have added follows. Where the payload ends
// before that, it is of an older format, and what it lacks is as good as never having been.
// IDPayload.swift has those of remembered ids, CheckpointPayload.swift those of states in slots.

import BatonCore

extension MailboxMachine {
    /// The payload of a base record.
    package func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        writer.reserve(encodedByteCount)
        writer.put(settled.value)
        writer.put(switchedAfter.value)
        writer.put(upgrades)
        writer.put(deadLetterCount)
        let inline = state?.checkpoint == nil ? state : nil
        writer.put(UInt8((release == nil ? 0 : 1) | (inline == nil ? 0 : 2)))
        if let release { release.put(to: &writer) }
        if let state = inline {
            writer.put(short: state.version)
            writer.put(long: state.bytes)
        }
        writer.put(UInt32(attempts.count))
        for (sequence, count) in attempts.sorted(by: { $0.key < $1.key }) {
            writer.put(sequence)
            writer.put(count)
        }
        writer.put(UInt32(dead.count))
        for sequence in dead.sorted() { writer.put(sequence) }

        writer.put(inline?.format ?? 0)
        writer.put(UInt8(fallback == nil ? 0 : 1))
        if let fallback { fallback.put(to: &writer) }
        writer.put(blob: bootID)
        writer.put(UInt32(history.count))
        for past in history { past.put(to: &writer) }
        writer.put(UInt32(deadLetters.count))
        for letter in deadLetters { letter.put(to: &writer) }

        ids.put(to: &writer)
        putSlots(to: &writer)
        return writer.bytes
    }

    /// How many bytes `encoded` has, without encoding.
    package var encodedByteCount: Int {
        // Four numbers, a byte of flags, two counts; then a format, a flag, and two counts.
        var count = 4 * 8 + 1 + 2 * 4 + 4 + 1 + 2 * 4
        count += 12 * attempts.count + 8 * dead.count + PayloadWriter.count(blob: bootID)
        if let release { count += release.encodedByteCount }
        // Its format is counted already.
        if let state, state.checkpoint == nil { count += state.encodedByteCount - 4 }
        if let fallback { count += fallback.encodedByteCount }
        for past in history { count += past.release.encodedByteCount + 9 }
        for letter in deadLetters { count += 8 + letter.encodedByteCount }
        return count + ids.encodedByteCount + slotsByteCount
    }

    package init?(_ payload: UnsafeRawBufferPointer) {
        self.init()
        var reader = unsafe PayloadReader(payload)
        guard let settled = reader.integer(UInt64.self),
            let switched = reader.integer(UInt64.self), let upgrades = reader.integer(UInt64.self),
            let deadLetterCount = reader.integer(UInt64.self), let has = reader.integer(UInt8.self)
        else { return nil }
        self.settled = SequenceNumber(settled)
        self.switchedAfter = SequenceNumber(switched)
        self.upgrades = upgrades
        self.deadLetterCount = deadLetterCount
        if has & 1 != 0 {
            guard let release = Release(&reader) else { return nil }
            tenure = .confirmed(release)
        }
        if has & 2 != 0 {
            guard let version = reader.short(), let bytes = reader.long() else { return nil }
            state = State(bytes: bytes, version: version)
        }
        guard let attemptCount = reader.integer(UInt32.self) else { return nil }
        for _ in 0..<attemptCount {
            guard let sequence = reader.integer(UInt64.self),
                let count = reader.integer(UInt32.self)
            else { return nil }
            attempts[sequence] = count
        }
        guard let deadCount = reader.integer(UInt32.self) else { return nil }
        for _ in 0..<deadCount {
            guard let sequence = reader.integer(UInt64.self) else { return nil }
            dead.insert(sequence)
        }
        guard reader.isAtEnd || readAdded(&reader) else { return nil }
        guard reader.isAtEnd || ids.read(&reader) && readSlots(&reader) else { return nil }
    }

    /// What format 2 has added.
    private mutating func readAdded(_ reader: inout PayloadReader) -> Bool {
        guard let format = reader.integer(UInt32.self), let hasFallback = reader.integer(UInt8.self)
        else { return false }
        state?.format = format
        if hasFallback != 0 {
            guard let release, let fallback = Fallback(&reader) else { return false }
            tenure = .provisional(release, fallback)
        }
        guard let bootID = reader.blob(), let pastCount = reader.integer(UInt32.self) else {
            return false
        }
        self.bootID = bootID
        for _ in 0..<pastCount {
            guard let past = Past(&reader) else { return false }
            history.append(past)
        }
        guard let letterCount = reader.integer(UInt32.self) else { return false }
        for _ in 0..<letterCount {
            guard let letter = DeadLetter(&reader) else { return false }
            deadLetters.append(letter)
        }
        return true
    }
}

extension MailboxMachine.Switch {
    /// The payload of a switch record.
    func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        release.put(to: &writer)
        writer.put(cause.rawValue)
        writer.put(at)
        writer.put(blob: bootID)
        writer.put(UInt8(dropsState ? 2 : state == nil ? 0 : state?.checkpoint == nil ? 1 : 3))
        if let state { state.putWherever(to: &writer) }
        return writer.bytes
    }

    /// - Parameter isFinal: whether it is one of format 1, which had nothing provisional.
    init?(_ payload: UnsafeRawBufferPointer, isFinal: inout Bool) {
        var reader = unsafe PayloadReader(payload)
        guard let release = MailboxMachine.Release(&reader) else { return nil }
        self.init(release: release, cause: .upgrade, at: 0, bootID: [])
        isFinal = reader.isAtEnd
        if isFinal { return }
        guard let cause = MailboxMachine.Cause(&reader), let at = reader.integer(UInt64.self),
            let bootID = reader.blob(), let has = reader.integer(UInt8.self)
        else { return nil }
        self.cause = cause
        self.at = at
        self.bootID = bootID
        dropsState = has == 2
        if has == 1 || has == 3 {
            guard
                let state = has == 1
                    ? MailboxMachine.State(&reader) : MailboxMachine.State(slotted: &reader)
            else { return nil }
            self.state = state
        }
    }
}

// MARK: - Parts of them

extension MailboxMachine.Release {
    var encodedByteCount: Int { ImageDigest.byteCount + PayloadWriter.count(short: version) }

    func put(to writer: inout PayloadWriter) {
        writer.put(raw: digest.bytes)
        writer.put(short: version)
    }

    init?(_ reader: inout PayloadReader) {
        guard let bytes = reader.raw(ImageDigest.byteCount), let digest = ImageDigest(bytes),
            let version = reader.short()
        else { return nil }
        self.init(digest: digest, version: version)
    }
}

extension MailboxMachine.State {
    var encodedByteCount: Int { PayloadWriter.count(short: version) + 4 + 4 + bytes.count }

    func put(to writer: inout PayloadWriter) {
        writer.put(short: version)
        writer.put(format)
        writer.put(long: bytes)
    }

    init?(_ reader: inout PayloadReader) {
        guard let version = reader.short(), let format = reader.integer(UInt32.self),
            let bytes = reader.long()
        else { return nil }
        self.init(bytes: bytes, version: version, format: format)
    }
}

extension MailboxMachine.Fallback {
    var encodedByteCount: Int { release.encodedByteCount + 9 + (inline?.encodedByteCount ?? 0) }

    /// Where it lies in a slot, that stands with the other slots.
    private var inline: MailboxMachine.State? { state?.checkpoint == nil ? state : nil }

    func put(to writer: inout PayloadWriter) {
        release.put(to: &writer)
        writer.put(settled.value)
        writer.put(UInt8(inline == nil ? 0 : 1))
        if let inline { inline.put(to: &writer) }
    }

    init?(_ reader: inout PayloadReader) {
        guard let release = MailboxMachine.Release(&reader),
            let settled = reader.integer(UInt64.self), let hasState = reader.integer(UInt8.self)
        else { return nil }
        self.init(release: release, state: nil, settled: SequenceNumber(settled))
        if hasState != 0 {
            guard let state = MailboxMachine.State(&reader) else { return nil }
            self.state = state
        }
    }
}

extension MailboxMachine.Cause {
    init?(_ reader: inout PayloadReader) {
        guard let value = reader.integer(UInt8.self) else { return nil }
        self.init(rawValue: value)
    }
}

extension MailboxMachine.Past {
    func put(to writer: inout PayloadWriter) {
        release.put(to: &writer)
        writer.put(cause.rawValue)
        writer.put(at)
    }

    init?(_ reader: inout PayloadReader) {
        guard let release = MailboxMachine.Release(&reader),
            let cause = MailboxMachine.Cause(&reader), let at = reader.integer(UInt64.self)
        else { return nil }
        self.init(release: release, at: at, cause: cause)
    }
}

extension MailboxMachine.DeadLetter {
    /// Of a record's payload.
    var encodedByteCount: Int { 4 + PayloadWriter.count(short: version) + 8 + 4 + bytes.count }

    func put(to writer: inout PayloadWriter) {
        writer.put(sequence)
        put(withoutSequence: &writer)
    }

    private func put(withoutSequence writer: inout PayloadWriter) {
        writer.put(attempts)
        writer.put(short: version)
        writer.put(at)
        writer.put(long: bytes)
    }

    /// The payload of a dead letter's record, which bears the number itself.
    func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        put(withoutSequence: &writer)
        return writer.bytes
    }

    init?(_ reader: inout PayloadReader) {
        guard let sequence = reader.integer(UInt64.self) else { return nil }
        self.init(sequence, &reader)
    }

    init?(_ sequence: UInt64, _ reader: inout PayloadReader) {
        guard let attempts = reader.integer(UInt32.self), let version = reader.short(),
            let at = reader.integer(UInt64.self), let bytes = reader.long()
        else { return nil }
        self.init(sequence: sequence, attempts: attempts, version: version, at: at, bytes: bytes)
    }
}
