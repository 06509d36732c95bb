// What came of an upgrade.

/// A phase of an upgrade, as it is named in logs, events and `status`.
package enum Phase: String, Sendable {
    case prepare, suspend, load, resume
    /// Of a removal: what waits is handled.
    case drain
}

package struct Verdict: Equatable, Sendable {
    package enum Outcome: Equatable, Sendable {
        /// The service runs the image, and did not run before.
        case started
        /// The switch is durable; the pause is the time from suspend to resume.
        case upgraded(pause: Moment.Span, switchedAfter: SequenceNumber)
        /// The same bytes run already.
        case current
        /// Nothing changed.
        case refused(Phase, reason: String)
        /// The version before handles messages again; what was answered since is kept.
        case rolledBack(reason: String, pause: Moment.Span, switchedAfter: SequenceNumber)
        /// Its file is gone; its mailbox is kept, with so many messages.
        case removed(kept: UInt64)
        /// What a reload or an upgrade would do: nothing has changed.
        case wouldStart, wouldUpgrade, wouldRemove
    }

    /// What a rehearsal showed.
    package struct Rehearsal: Equatable, Sendable {
        /// Messages that were handled in the shadow.
        package var messages: Int
        /// Replies that were not the recorded ones.
        package var differences: Int
        package init(messages: Int, differences: Int) {
            self.messages = messages
            self.differences = differences
        }
    }

    package var service: ServiceName
    package var from: String?
    package var to: String?
    package var digest: ImageDigest?
    package var outcome: Outcome
    package var total: Moment.Span
    package var rehearsal: Rehearsal?
    /// Whether the release that runs after it is confirmed; `nil` if nothing runs.
    package var isConfirmed: Bool?

    package init(
        service: ServiceName, from: String?, to: String?, digest: ImageDigest?, outcome: Outcome,
        total: Moment.Span, rehearsal: Rehearsal? = nil, isConfirmed: Bool? = nil
    ) {
        self.service = service
        self.from = from
        self.to = to
        self.digest = digest
        self.outcome = outcome
        self.total = total
        self.rehearsal = rehearsal
        self.isConfirmed = isConfirmed
    }

    /// Whether what was asked for did not come about.
    package var isRefused: Bool {
        switch outcome {
        case .refused, .rolledBack: true
        case .started, .upgraded, .current, .removed, .wouldStart, .wouldUpgrade, .wouldRemove:
            false
        }
    }

    package var refusedIn: Phase? {
        if case .refused(let phase, _) = outcome { phase } else { nil }
    }

    /// Why it is as it is, if not because it was asked for.
    package var cause: String? {
        switch outcome {
        case .refused(_, let reason), .rolledBack(let reason, _, _): reason
        case .started, .upgraded, .current, .removed, .wouldStart, .wouldUpgrade, .wouldRemove:
            nil
        }
    }

    /// The time from suspend to resume.
    package var pause: Moment.Span? {
        switch outcome {
        case .upgraded(let pause, _), .rolledBack(_, let pause, _): pause
        case .started, .current, .refused, .removed, .wouldStart, .wouldUpgrade, .wouldRemove: nil
        }
    }

    /// The last message of the version before.
    package var switchedAfter: SequenceNumber? {
        switch outcome {
        case .upgraded(_, let sequence), .rolledBack(_, _, let sequence): sequence
        case .started, .current, .refused, .removed, .wouldStart, .wouldUpgrade, .wouldRemove: nil
        }
    }

    /// One line for log and `STATUS=`.
    package var summary: String {
        let versions = "\(from ?? "none") → \(to ?? "unknown")"
        return switch outcome {
        case .started: "started \(to ?? "unknown")"
        case .upgraded(let pause, let sequence):
            "upgraded \(versions) after message \(sequence), paused \(pause), \(total) in all"
        case .current: "already current: \(from ?? "unknown")"
        case .refused(let phase, let reason):
            "refused in \(phase.rawValue): \(reason); stays at \(from ?? "none")"
        case .rolledBack(let reason, let pause, let sequence):
            "rolled back \(versions) after message \(sequence), paused \(pause): \(reason)"
        case .removed(let kept):
            kept == 0
                ? "removed; its mailbox is kept" : "removed; its mailbox keeps \(kept) messages"
        case .wouldStart: "would start \(to ?? "unknown")"
        case .wouldUpgrade: "would upgrade \(versions)"
        case .wouldRemove: "would be removed"
        }
    }
}
