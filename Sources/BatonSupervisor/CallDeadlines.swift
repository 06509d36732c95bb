// When the calls of one connection are to be answered at the latest. Runs in batond.

import BatonCore

struct CallDeadlines {
    private var entries: [(slot: UInt64, at: Moment)] = []
    /// What is waited for with a timer now.
    var timed: Moment?

    /// - Parameter pending: slots that wait; most calls are answered long before their time, and what
    ///   is kept of those is bounded by this.
    mutating func add(_ slot: UInt64, at: Moment, pending: UInt64, awaits: (UInt64) -> Bool) {
        if entries.count > 64, UInt64(entries.count) > 2 * pending {
            entries.removeAll { !awaits($0.slot) }
        }
        entries.append((slot, at))
    }

    var next: Moment? { entries.map(\.at).min() }

    /// Takes out the slots whose time has come and that still wait.
    mutating func takeDue(at now: Moment, awaits: (UInt64) -> Bool) -> [UInt64] {
        entries.removeAll { !awaits($0.slot) }
        let due = entries.filter { $0.at <= now }.map(\.slot)
        entries.removeAll { $0.at <= now }
        return due
    }
}
