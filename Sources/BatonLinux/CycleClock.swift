// How long ago a reading of the cycle counter was, which hosts stamp the message in hand with: it costs
// them next to nothing, and all processors count alike. Used in batond.

import BatonCore
import CLinux

package struct CycleClock: Sendable {
    private let begun = baton_cycles()
    private let begunAt = MonotonicClock.now()

    package init() {}

    /// The time since the counter stood at `reading`. The rate is what it was since this clock was
    /// made. A host can write any reading: one that lies ahead is now, one from before this clock
    /// was made is as old as this clock.
    package func age(of reading: UInt64) -> Moment.Span {
        let cycles = baton_cycles() &- begun
        let since = reading &- begun
        let all = MonotonicClock.now().since(begunAt)
        // Differences of a wrapping counter: over half of the range is the past.
        guard cycles > 0, since < 1 << 63 else { return all }
        guard since < cycles else { return Moment.Span(nanoseconds: 0) }
        let share = Double(cycles - since) / Double(cycles)
        return Moment.Span(nanoseconds: UInt64(Double(all.nanoseconds) * share))
    }
}
