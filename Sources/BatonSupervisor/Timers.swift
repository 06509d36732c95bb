// What is to happen later. Runs in batond. Few at a time, so a plain list.

import BatonCore

struct Timers {
    struct Handle: Equatable {
        fileprivate var number: UInt64
    }

    private var entries: [(at: Moment, number: UInt64, action: () -> Void)] = []
    private var lastNumber: UInt64 = 0

    mutating func schedule(at: Moment, _ action: @escaping () -> Void) -> Handle {
        lastNumber += 1
        entries.append((at, lastNumber, action))
        return Handle(number: lastNumber)
    }

    mutating func cancel(_ handle: Handle?) {
        guard let handle else { return }
        entries.removeAll { $0.number == handle.number }
    }

    var next: Moment? { entries.map(\.at).min() }

    /// Takes out what is due, the earliest first.
    mutating func takeDue(at now: Moment) -> [() -> Void] {
        guard entries.contains(where: { $0.at <= now }) else { return [] }
        let due = entries.filter { $0.at <= now }.sorted { $0.at < $1.at }
        entries.removeAll { $0.at <= now }
        return due.map(\.action)
    }
}
