// Whether, and after how long, a host that ended is started again: OTP's restart types, intensity
// and period, with backoff.

/// At most `restarts` in `period`; the first at once, each further one after twice as long, up to
/// the period.
package struct RestartPolicy: Sendable {
    package enum Decision: Equatable, Sendable {
        case restart(after: Moment.Span)
        /// The service stops; its mailbox keeps accepting.
        case stop(reason: String)
    }

    private var type: RestartType
    private var restarts: Int
    private var period: Moment.Span
    private var deaths: [Moment] = []

    package init(
        restarts: Int, period: Moment.Span, type: RestartType = .permanent
    ) {
        self.restarts = restarts
        self.period = period
        self.type = type
    }

    /// Other bounds from here on; the deaths there were still count.
    package mutating func change(restarts: Int, period: Moment.Span, type: RestartType) {
        self.restarts = restarts
        self.period = period
        self.type = type
    }

    /// A host ended at `now`.
    /// - Parameter wasNormal: by itself, with exit code 0.
    package mutating func died(at now: Moment, wasNormal: Bool) -> Decision {
        if let reason = type.barsStart(wasNormal: wasNormal) { return .stop(reason: reason) }
        deaths.removeAll { now.since($0) > period }
        deaths.append(now)
        guard deaths.count <= restarts else {
            return .stop(
                reason: "its host died \(deaths.count) times in \(period): fix the image and "
                    + "'baton reload', or 'baton resume' to try again")
        }
        let waits = deaths.count - 1
        guard waits > 0 else { return .restart(after: .milliseconds(0)) }
        // Longer than the period is too long: by then no death counts any more.
        return .restart(after: min(period, .milliseconds(50 << UInt64(min(waits, 32)))))
    }

    /// A message has been set aside, which is to blame for `count` of the last deaths: they do not
    /// count. So a poison message is one death, however often it was tried; and an image that dies
    /// of every message is found out nevertheless.
    package mutating func excuse(_ count: Int) {
        deaths.removeLast(min(max(0, count), deaths.count))
    }

    /// New code, or the operator's word: what was before does not count.
    package mutating func forgive() { deaths.removeAll() }
}
