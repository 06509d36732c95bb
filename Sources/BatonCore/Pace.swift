// How many messages of one connection may wait for a service at a time, so that nobody else's message
// waits for them longer than a moment. Pure; used in batond.
//
// A mailbox is worked off in its order: who comes second waits for all that is there. What a client
// has sent beyond this stays in its socket. The host never runs dry by it: what is there keeps it busy
// for much longer than batond takes to bring more.

/// The speed at which a service handles messages now, and what one client may be ahead of it.
package struct Pace: Equatable, Sendable {
    /// Sums over the last while, in which what is older counts for less.
    private var nanoseconds: UInt64 = 0
    private var messages: UInt64 = 0
    /// Messages of one connection that may wait.
    package private(set) var window = FixedLimits.aheadAtFirst

    package init() {}

    /// `count` messages were handled in a `span` in which there was always one to handle.
    package mutating func handled(_ count: UInt64, in span: Moment.Span) {
        guard count > 0 else { return }
        // A host that stood still for minutes is no measure for what it does when it goes on.
        nanoseconds += min(span.nanoseconds, Self.longestNanoseconds)
        nanoseconds -= nanoseconds / 8
        messages += min(count, Self.mostMessages)
        messages -= messages / 8
        let inTime = FixedLimits.aheadSpan.nanoseconds * messages / max(1, nanoseconds)
        window = max(FixedLimits.aheadAtLeast, inTime)
    }

    private static let longestNanoseconds: UInt64 = 1_000_000_000
    private static let mostMessages: UInt64 = 1 << 24
}
