// Where the last outcomes of a service lie, for a rehearsal. Nothing is copied for it: what a host has
// published stays in its ring until it is written over, so a few marks are enough to find it again.
// Runs in batond.

import BatonCore
import BatonLinux

struct OutcomeHistory {
    /// A place between two outcomes, where the state is known.
    private struct Mark {
        var position: UInt64
        var settled: SequenceNumber
        var state: MailboxMachine.State?
    }

    /// A reply as it was given.
    enum Recorded: Equatable {
        case reply([UInt8])
        case failure([UInt8])
        /// It was too large for the ring: not compared.
        case unknown
        /// A dead letter: nobody handled it.
        case passed
    }

    /// The messages after `settled`, the state before them, and what was replied.
    struct Excerpt {
        var settled: SequenceNumber
        var state: MailboxMachine.State?
        var replies: [Recorded]
        /// Replies from here on are those that were wanted; the state is only known before.
        var firstWanted: Int

        /// The dead letters among them.
        var passed: Set<UInt64> {
            var passed: Set<UInt64> = []
            for (reply, sequence) in zip(replies, settled.next.value...) where reply == .passed {
                passed.insert(sequence)
            }
            return passed
        }
    }

    private var marks: [Mark] = []
    private var stateBytes = 0

    private static let mostMarks = 1024
    /// How far apart marks within one batch lie.
    static let spacing: UInt64 = 4096
    private static let mostStateBytes = 4 << 20

    mutating func forget() {
        marks.removeAll()
        stateBytes = 0
    }

    /// At `position` of the ring everything up to `settled` has been taken, and this is the state.
    /// - Parameter spacing: bytes of the ring that must lie between this mark and the one before.
    mutating func note(
        position: UInt64, settled: SequenceNumber, state: MailboxMachine.State?, spacing: UInt64 = 0
    ) {
        if let last = marks.last,
            last.settled == settled || position &- last.position < spacing
        {
            return
        }
        marks.append(Mark(position: position, settled: settled, state: state))
        stateBytes += state?.bytes.count ?? 0
        guard marks.count > Self.mostMarks || stateBytes > Self.mostStateBytes else { return }
        // The last one shares its state with the mailbox.
        let count = min(max(1, marks.count / 4), marks.count - 1)
        for mark in marks.prefix(count) { stateBytes -= mark.state?.bytes.count ?? 0 }
        marks.removeFirst(count)
    }

    /// The last `count` outcomes, or as many as there are, from `oldest` on.
    func excerpt(
        _ count: Int, _ ring: borrowing SharedRing, taken: UInt64, settled: SequenceNumber,
        oldest: SequenceNumber
    ) -> Excerpt? {
        let usable = marks.filter {
            taken &- $0.position <= SharedRing.readableBehind && $0.settled.next >= oldest
                && $0.settled < settled
        }
        let wanted = settled.value - min(settled.value, UInt64(max(0, count)))
        guard let mark = usable.last(where: { $0.settled.value <= wanted }) ?? usable.first else {
            return nil
        }
        let before = wanted > mark.settled.value ? Int(wanted - mark.settled.value) : 0
        var excerpt = Excerpt(
            settled: mark.settled, state: mark.state, replies: [], firstWanted: before)
        var reader = SharedRing.Reader(from: mark.position, to: taken)
        reading: while true {
            switch reader.next(ring) {
            case .empty, .violation: break reading
            case .entry(let kind, let sequence, let payload):
                let recorded: Recorded
                switch kind {
                case .reply: recorded = unsafe .reply(Array(payload))
                case .failure: recorded = unsafe .failure(Array(payload))
                case .largeReply: recorded = .unknown
                case .passed: recorded = .passed
                case .state, .largeState, .skip: continue reading
                }
                guard sequence == mark.settled.value + UInt64(excerpt.replies.count) + 1 else {
                    break reading
                }
                excerpt.replies.append(recorded)
            }
        }
        // What was read while it was written over is worth nothing.
        guard ring.load(.written) &- mark.position <= SharedRing.readableBehind * 2 else {
            return nil
        }
        return excerpt.replies.isEmpty ? nil : excerpt
    }
}
