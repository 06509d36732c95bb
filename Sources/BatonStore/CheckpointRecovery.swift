// What recovery makes of the slots that the log names. Used in batond; nothing is written here.
//
// A record names a slot only when that is durable. So a slot that does not hold what it should was
// damaged since, whatever the end of the log is like.

import BatonCore
import BatonLinux

extension Recovery {
    /// Reads the states that lie in slots.
    mutating func readSlots() throws(StoreError) {
        try readState()
        readFallback()
    }

    private mutating func readState() throws(StoreError) {
        guard let checkpoint = standing.state?.checkpoint else { return }
        var reason = ""
        if let bytes = read(checkpoint, &reason) {
            standing.state?.bytes = bytes
            return
        }
        guard var earlier = standing.earlier else {
            throw corrupt(checkpoint, "\(reason), and there is no earlier state")
        }
        if let other = earlier.state?.checkpoint {
            var why = ""
            guard let bytes = read(other, &why) else {
                throw corrupt(
                    checkpoint, "\(reason), and of \(CheckpointSlot.fileName(other.slot)) \(why)")
            }
            earlier.state?.bytes = bytes
        }
        lost = earlier
        report.damagedSlot = "\(place(of: checkpoint)): \(reason)"
    }

    private mutating func readFallback() {
        guard case .provisional(let release, var fallback) = standing.tenure,
            let checkpoint = fallback.state?.checkpoint
        else { return }
        var reason = ""
        if lost == nil, let state = standing.state, state.checkpoint == checkpoint {
            fallback.state?.bytes = state.bytes
        } else if let bytes = read(checkpoint, &reason) {
            fallback.state?.bytes = bytes
        } else {
            report.damagedFallback = "\(place(of: checkpoint)): \(reason)"
        }
        standing.tenure = .provisional(release, fallback)
    }

    private mutating func read(_ checkpoint: Checkpoint, _ reason: inout String) -> [UInt8]? {
        guard let mailbox = segments.first?.header.mailbox else { return nil }
        let bytes = CheckpointSlot.read(
            checkpoint, mailbox: mailbox, in: directory, reason: &reason)
        report.bytesRead += bytes?.count ?? 0
        return bytes
    }

    private func place(of checkpoint: Checkpoint) -> String {
        "\(path)/\(CheckpointSlot.fileName(checkpoint.slot))"
    }

    private func corrupt(_ checkpoint: Checkpoint, _ reason: String) -> StoreError {
        .corrupt(
            place: "\(place(of: checkpoint)) (the state after message \(standing.settled))",
            reason: reason)
    }

    /// A slot of a newer format is told before anything is done.
    func checkFormat(_ slot: UInt8) throws(StoreError) {
        let directory = directory
        let found: UInt32?
        // One that cannot be read matters only if a record names it.
        do throws(SystemError) {
            found = try CheckpointSlot.newerFormat(slot, in: directory)
        } catch { return }
        if let found {
            throw .newerFormat(
                found: found, known: Segment.formatVersion,
                place: "\(path)/\(CheckpointSlot.fileName(slot))")
        }
    }
}
