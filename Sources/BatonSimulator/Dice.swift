// Everything that happens by chance in a simulation comes from here, and so from the seed.
// Runs in the simulator.

import BatonCore

/// SplitMix64. One for a whole simulation: who asks when is part of what a seed means.
package final class Dice {
    private var state: UInt64

    package init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 ^ 0x5bd1_e995_1234_5678 }

    package func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Each number of `range` is as likely as the others, as far as that matters here.
    func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.upperBound - range.lowerBound + 1))
    }

    /// True in `hits` of `total` cases.
    func chance(_ hits: Int, in total: Int) -> Bool { number(1...total) <= hits }

    func pick<Element>(_ elements: [Element]) -> Element {
        elements[number(0...elements.count - 1)]
    }

    func microseconds(_ range: ClosedRange<Int>) -> Moment.Span {
        Moment.Span(nanoseconds: UInt64(number(range)) * 1000)
    }

    func milliseconds(_ range: ClosedRange<Int>) -> Moment.Span {
        Moment.Span.milliseconds(UInt64(number(range)))
    }
}
