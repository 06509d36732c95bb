// Large states, kept in slots beside the log: which slot is free, and when a state is copied so that
// the log before it can go. Used in batond, by the loop's thread.

import BatonCore
import BatonLinux

extension MailboxMachine {
    /// The state, if the log itself holds it.
    var inlineState: State? { state?.checkpoint == nil ? state : nil }

    /// The slots that must stay as they are for what is known now.
    var slotsNamed: Set<UInt8> {
        Set([state, fallback?.state].compactMap { $0?.checkpoint?.slot })
    }
}

extension Mailbox {
    /// Whether a state of so many bytes lies in a slot.
    package func isLarge(_ byteCount: Int) -> Bool { byteCount > inlineStateBytes }

    /// The order to make a state durable in a slot; only what comes of it can be named by a record.
    /// One at a time. `nil` if no slot is free: the next sync frees one.
    package func checkpointOrder(_ source: CheckpointSlot.Source) -> CheckpointSlot.Order? {
        guard let slot = freeSlot else { return nil }
        return CheckpointSlot.Order(
            directory: directory, mailbox: activeSegment.header.mailbox, slot: slot,
            source: source, unitBytes: variant.slotUnitBytes)
    }

    private var freeSlot: UInt8? {
        var named = slots.all
        if let lost {
            // What is left of the state is in the other one; the damaged one goes last.
            if let good = lost.state?.checkpoint?.slot { named.insert(good) }
            let fallback = standing.fallback?.state?.checkpoint?.slot
            if let damaged = standing.state?.checkpoint?.slot, damaged != fallback,
                (0..<CheckpointSlot.count).allSatisfy(named.contains)
            {
                return damaged
            }
        }
        return (0..<CheckpointSlot.count).first { !named.contains($0) }
    }

    /// Everything up to `sequence` is handled, and this is what the state has become.
    package mutating func settle(
        upTo sequence: SequenceNumber, written: CheckpointSlot.Written, format: UInt32
    ) throws(StoreError) {
        precondition(
            sequence <= appended && sequence >= standing.settled,
            "settling \(sequence) of \(appended) after \(standing.settled)")
        try settle(
            upTo: sequence,
            slotted: MailboxMachine.State(
                bytes: written.bytes, version: standing.release?.version ?? "", format: format,
                checkpoint: written.checkpoint), isCopy: false)
    }

    /// Whether the state is to be copied into another slot: it has nothing beside it, or the log that
    /// leads to it from what is beside it has become long.
    package var wantsCopy: Bool {
        guard standing.state?.checkpoint != nil, lost == nil else { return false }
        guard let earlier = standing.earlier else { return true }
        return bytesSettled(after: earlier.settled) > FixedLimits.earlierLogBytes
    }

    /// The state was copied: it is the same, with nothing to be handled between the two.
    package mutating func settle(copy written: CheckpointSlot.Written) throws(StoreError) {
        guard var state = standing.state else { preconditionFailure("there is no state to copy") }
        state.checkpoint = written.checkpoint
        try settle(upTo: standing.settled, slotted: state, isCopy: true)
    }
}
