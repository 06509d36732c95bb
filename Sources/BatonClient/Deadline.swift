// Deadline: the bound of every wait in the client. Runs in baton and in tests.

/// A moment of the monotonic clock, and the patience it came from for the error that names it.
package struct Deadline: Sendable {
    package let patience: Duration
    private let moment: ContinuousClock.Instant

    package init(after patience: Duration) {
        self.patience = patience
        moment = ContinuousClock.now.advanced(by: patience)
    }

    /// What is left for poll, rounded up; 0 when it has passed.
    var milliseconds: CInt {
        let left = ContinuousClock.now.duration(to: moment)
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return CInt(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
