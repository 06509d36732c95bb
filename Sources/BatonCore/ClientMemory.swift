// What all clients together cost batond in memory, and what one of them may. Pure; used in batond.
//
// The bound is a dynamic threshold, as switches share their buffers by: a quarter of what is free. A
// few clients get as much as they can use; the more is taken, the less each may take; and somebody with
// little is never stopped by others who have much.

package struct ClientMemory: Equatable, Sendable {
    /// Bytes for all: unfinished input, replies that wait.
    package var budget: Int
    package private(set) var used = 0

    package init(budget: Int) { self.budget = budget }

    /// One client has `bytes` more, or fewer.
    package mutating func charge(_ bytes: Int) { used += bytes }

    /// Bytes that one client may have now.
    package var allowance: Int { max(FixedLimits.leastClientBytes, (budget - used) / 4) }
}
