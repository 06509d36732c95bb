// States that lie in slots, taken into a repaired log, which has slots of its own. Used in `batond
// repair`, by Salvage.

import BatonCore
import BatonLinux

extension Salvage {
    /// The state as its slot holds it. If that is damaged, the one before it: the messages since are
    /// handled again.
    /// - Throws: `corrupt` if neither can be read.
    mutating func takeState(from path: String) throws(StoreError) {
        defer { standing.earlier = nil }
        if let checkpoint = standing.state?.checkpoint {
            var reason = ""
            if let state = inline(standing.state, &reason) {
                standing.state = state
            } else {
                try takeEarlierState(
                    insteadOf: "\(path)/\(CheckpointSlot.fileName(checkpoint.slot))", reason)
            }
        }
        takeFallbackState()
    }

    private mutating func takeEarlierState(insteadOf place: String, _ reason: String)
        throws(StoreError)
    {
        var why = "there is no state before it"
        guard let earlier = standing.earlier else {
            throw .corrupt(place: place, reason: "\(reason), and \(why)")
        }
        if earlier.state == nil {
            standing.state = nil
        } else if let state = inline(earlier.state, &why) {
            standing.state = state
        } else {
            throw .corrupt(place: place, reason: "\(reason), and of the state before it \(why)")
        }
        standing.settled = earlier.settled
    }

    private mutating func takeFallbackState() {
        guard case .provisional(let release, var fallback) = standing.tenure,
            fallback.state?.checkpoint != nil
        else { return }
        var reason = ""
        if let state = inline(fallback.state, &reason) {
            fallback.state = state
            standing.tenure = .provisional(release, fallback)
        } else {
            droppedFallback = fallback.release
            _ = standing.confirm()
        }
    }

    /// The state with its bytes, as the new log carries it.
    private func inline(_ state: MailboxMachine.State?, _ reason: inout String)
        -> MailboxMachine.State?
    {
        guard let state else { return nil }
        guard let checkpoint = state.checkpoint else { return state }
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
