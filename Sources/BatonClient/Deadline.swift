// Deadline: the bound of every wait in the client. Runs in baton and in tests.

/// A moment of the monotonic clock, and the patience it came from for the error that names it.
package struct Deadline: Sendable {
    package let patience: Duration
    /// Nil where there is no end to the wait.
    private let moment: ContinuousClock.Instant?

    package init(after patience: Duration) {
        self.patience = patience
        moment = ContinuousClock.now.advanced(by: patience)
    }

    private init() {
        patience = .zero
        moment = nil
    }

    /// For events, which come when they come: whoever waits can be interrupted.
    package static let never = Deadline()

    /// What is left for poll, rounded up; 0 when it has passed, -1 for ever.
    var milliseconds: CInt {
        guard let moment else { return -1 }
        let left = ContinuousClock.now.duration(to: moment)
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return CInt(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }
}
