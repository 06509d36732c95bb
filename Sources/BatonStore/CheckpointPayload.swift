// What records say of states that lie in slots. Used in batond.

import BatonCore

extension MailboxMachine.State {
    /// Of its name alone: what a record holds of a state that lies in a slot.
    private var slottedByteCount: Int { PayloadWriter.count(short: version) + 4 + 1 + 8 + 4 }

    private var byteCountWherever: Int { checkpoint == nil ? encodedByteCount : slottedByteCount }

    /// Its bytes, or the slot they lie in.
    func putWherever(to writer: inout PayloadWriter) {
        guard let checkpoint else { return put(to: &writer) }
        writer.put(short: version)
        writer.put(format)
        writer.put(checkpoint.slot)
        writer.put(UInt64(checkpoint.byteCount))
        writer.put(checkpoint.crc)
    }

    /// The payload of a settle record that names a slot.
    func encodedWherever() -> [UInt8] {
        var writer = PayloadWriter()
        putWherever(to: &writer)
        return writer.bytes
    }

    /// One that lies in a slot: its bytes are not known yet.
    init?(slotted reader: inout PayloadReader) {
        guard let version = reader.short(), let format = reader.integer(UInt32.self),
            let slot = reader.integer(UInt8.self), slot < CheckpointSlot.count,
            let byteCount = reader.integer(UInt64.self), let count = Int(exactly: byteCount),
            let crc = reader.integer(UInt32.self)
        else { return nil }
        self.init(
            bytes: [], version: version, format: format,
            checkpoint: Checkpoint(slot: slot, byteCount: count, crc: crc))
    }

    /// How a state is said to be there, in one byte.
    private static func kind(_ state: Self?) -> UInt8 {
        guard let state else { return 0 }
        return state.checkpoint == nil ? 1 : 2
    }

    fileprivate static func put(_ state: Self?, to writer: inout PayloadWriter) {
        writer.put(kind(state))
        if let state { state.putWherever(to: &writer) }
    }

    fileprivate static func byteCount(_ state: Self?) -> Int { 1 + (state?.byteCountWherever ?? 0) }

    /// `nil` if there is none to be read; otherwise what `put` was given.
    fileprivate static func read(_ reader: inout PayloadReader) -> Self?? {
        switch reader.integer(UInt8.self) {
        case 0: .some(nil)
        case 1: Self(&reader).map { .some($0) }
        case 2: Self(slotted: &reader).map { .some($0) }
        default: .none
        }
    }
}

/// What a base record says of slots: the state and the fallback's, where they lie in slots; and the
/// earlier state, wherever it lies.
extension MailboxMachine {
    private var slotted: State? { state?.checkpoint == nil ? nil : state }
    private var slottedFallback: State? {
        fallback?.state?.checkpoint == nil ? nil : fallback?.state
    }

    func putSlots(to writer: inout PayloadWriter) {
        State.put(slotted, to: &writer)
        State.put(slottedFallback, to: &writer)
        writer.put(UInt8(earlier == nil ? 0 : 1))
        guard let earlier else { return }
        writer.put(earlier.settled.value)
        State.put(earlier.state, to: &writer)
    }

    var slotsByteCount: Int {
        let count = State.byteCount(slotted) + State.byteCount(slottedFallback) + 1
        return count + (earlier.map { 8 + State.byteCount($0.state) } ?? 0)
    }

    mutating func readSlots(_ reader: inout PayloadReader) -> Bool {
        guard let slotted = State.read(&reader), let ofFallback = State.read(&reader),
            let hasEarlier = reader.integer(UInt8.self)
        else { return false }
        if let slotted { state = slotted }
        if let ofFallback {
            guard case .provisional(let release, var fallback) = tenure else { return false }
            fallback.state = ofFallback
            tenure = .provisional(release, fallback)
        }
        guard hasEarlier != 0 else { return true }
        guard let settled = reader.integer(UInt64.self), let state = State.read(&reader) else {
            return false
        }
        earlier = Earlier(state: state, settled: SequenceNumber(settled))
        return true
    }
}
