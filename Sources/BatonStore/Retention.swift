// Which segments of a mailbox stay: those with messages that are not settled, and those that a
// provisional release may still need to be rolled back, or an earlier state to lead to the present one,
// or that somebody reads once more. Used in batond.

import BatonCore

extension Mailbox {
    /// Messages after this one may still be read.
    private var needed: SequenceNumber {
        let needed = standing.needed
        return min(needed, keepFrom ?? needed)
    }

    /// Whether a sync would let a segment go that nothing needs any more.
    package var couldLetGo: Bool {
        !isSyncing && segments.count > 1 && segments[0].endSequence <= needed.value + 1
    }

    /// The first message that is still in the log; the next to come if there is none.
    package var oldestKept: SequenceNumber {
        SequenceNumber(segments[0].header.firstSequence)
    }

    /// Bytes of segments that are settled and kept for a rollback, or for `keepFrom`.
    package var keptBytes: Int {
        let needed = standing.neededForWayBack
        return settledSegments(after: min(needed, keepFrom ?? needed)).byteCount
    }

    /// Bytes of segments that are settled and hold messages after `sequence`.
    func bytesSettled(after sequence: SequenceNumber) -> Int {
        settledSegments(after: sequence).byteCount
    }

    private func settledSegments(after needed: SequenceNumber) -> (count: Int, byteCount: Int) {
        let (needed, settled) = (needed.value, standing.settled.value)
        var kept = (count: 0, byteCount: 0)
        guard needed < settled else { return kept }
        for segment in segments.dropLast()
        where segment.endSequence > needed + 1 && segment.endSequence <= settled + 1 {
            kept.count += 1
            kept.byteCount += segment.byteCount
        }
        return kept
    }

    /// Whether only the present segment still takes messages.
    package var isFull: Bool { isFull(byteLimit) }

    /// Whether there may be no further segment of messages. What is kept for a rollback is not the
    /// senders' fault; and a single segment, all of it settled, goes as soon as there is another.
    func isFull(_ limit: Int) -> Bool {
        let kept = settledSegments(after: needed)
        return byteCount - kept.byteCount >= limit
            && (segments.count - kept.count > 1 || unsettledCount > 0)
    }
}
