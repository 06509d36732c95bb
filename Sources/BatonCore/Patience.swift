// How long a service waits for a client whose replies are as many as may wait. Pure; used in batond.
//
// Each client that is closed for not reading has cost the others that time, so the next one is given half
// of it; after a while without any all is forgotten.

package struct Patience: Equatable, Sendable {
    private var losses: UInt64 = 0
    private var lastLoss = Moment(nanoseconds: 0)

    package init() {}

    package func span(at now: Moment) -> Moment.Span {
        guard losses > 0, now.since(lastLoss) < FixedLimits.heldUpMemory else {
            return FixedLimits.heldUpSpan
        }
        return Moment.Span(nanoseconds: FixedLimits.heldUpSpan.nanoseconds >> min(losses, 7))
    }

    /// Whether a client that took `bytes` in `span` reads too slowly.
    package func isOver(for bytes: Int, in span: Moment.Span) -> Bool {
        // In milliseconds, of which there are always some.
        let due =
            UInt64(FixedLimits.heldUpBytes) * (span.nanoseconds / 1_000_000)
            / FixedLimits.heldUpSpan.milliseconds
        return bytes < due
    }

    /// A client was closed that did not read.
    package mutating func lose(at now: Moment) {
        if now.since(lastLoss) >= FixedLimits.heldUpMemory { losses = 0 }
        losses += 1
        lastLoss = now
    }
}
