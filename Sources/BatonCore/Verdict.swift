// What came of an upgrade.

/// A phase of an upgrade, as it is named in logs, events and `status`.
package enum Phase: String, Sendable {
    case prepare, suspend, load, resume
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
    }

    package var service: ServiceName
    package var from: String?
    package var to: String?
    package var digest: ImageDigest?
    package var outcome: Outcome
    package var total: Moment.Span

    package init(
        service: ServiceName, from: String?, to: String?, digest: ImageDigest?, outcome: Outcome,
        total: Moment.Span
    ) {
        self.service = service
        self.from = from
        self.to = to
        self.digest = digest
        self.outcome = outcome
        self.total = total
    }

    package var isRefused: Bool {
        if case .refused = outcome { true } else { false }
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
        }
    }
}
