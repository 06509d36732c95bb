// States that lie in slots, taken into a repaired log, which has slots of its own. Used in `batond
// repair`, by Salvage.

import BatonCore
import BatonLinux

extension Salvage {
    /// The state as its slot holds it. If that is damaged, the one before it, and if that is damaged
    /// too, the last one in the log that can be read: the messages since are handled again. If there is
    /// none, what the log has of messages is handled again, and what others have led to is lost.
    mutating func takeState(from path: String) throws(StoreError) {
        defer { standing.earlier = nil }
        if standing.state?.checkpoint != nil {
            if let state = inline(standing.state) {
                standing.state = state
            } else if let earlier = standing.earlier, isReadable(earlier.state) {
                (standing.state, standing.settled) = (inline(earlier.state), earlier.settled)
            } else {
                try takeFormerState(from: path)
            }
        }
        takeFallbackState()
    }

    /// Whether a state can be had; that there was none is a state too.
    private func isReadable(_ state: MailboxMachine.State?) -> Bool {
        state == nil || inline(state) != nil
    }

    /// Reads the log once more, for states that it knew before.
    private mutating func takeFormerState(from path: String) throws(StoreError) {
        var content = SalvagedContent(try Self.recovery(of: service, path))
        var former: (state: MailboxMachine.State?, settled: SequenceNumber)?
        // Many records may name one slot, which is large.
        var known: [Checkpoint: Bool] = [:]
        // Before its first record a log that is there from its beginning has no state.
        if reading.firstOrdinal == 1 { former = (nil, .none) }
        var walked = reading
        try walked.walk { (item) throws(StoreError) in
            content.add(item)
            guard case .record(let record, _) = item, content.isExact,
                [.settle, .switch, .base].contains(record.kind)
            else { return }
            let state = content.standing.state
            if let checkpoint = state?.checkpoint {
                let isGood = known[checkpoint] ?? isReadable(state)
                known[checkpoint] = isGood
                guard isGood else { return }
            }
            former = (state, content.standing.settled)
        }
        if let former {
            (standing.state, standing.settled) = (inline(former.state), former.settled)
        } else {
            standing.state = nil
            standing.settled = min(standing.settled, content.beforeFirst ?? standing.settled)
            isStateLost = true
        }
    }

    private mutating func takeFallbackState() {
        guard case .provisional(let release, var fallback) = standing.tenure,
            fallback.state?.checkpoint != nil
        else { return }
        if fallback.settled <= standing.settled, let state = inline(fallback.state) {
            fallback.state = state
            standing.tenure = .provisional(release, fallback)
        } else {
            droppedFallback = fallback.release
            _ = standing.confirm()
        }
    }

    /// The state with its bytes, as the new log carries it.
    private func inline(_ state: MailboxMachine.State?) -> MailboxMachine.State? {
        guard let state else { return nil }
        guard let checkpoint = state.checkpoint else { return state }
        var reason = ""
        // Where no segment's header is left, the slot itself says whose it is.
        guard
            let mailbox = reading.mailbox
                ?? CheckpointSlot.mailbox(of: checkpoint.slot, in: reading.directory),
            let bytes = CheckpointSlot.read(
                checkpoint, mailbox: mailbox, in: reading.directory, reason: &reason)
        else { return nil }
        return MailboxMachine.State(bytes: bytes, version: state.version, format: state.format)
    }
}
