// What is to happen later. Runs in batond.
//
// Kept sorted: most deadlines are as long as the one before and go to the end; what is due is taken
// from the front; cancelling is rare.

import BatonCore

struct Timers {
    struct Handle: Equatable {
        fileprivate var number: UInt64
    }

    private struct Entry {
        var at: Moment
        var number: UInt64
        var action: () -> Void
    }

    private var entries: [Entry] = []
    private var head = 0
    private var lastNumber: UInt64 = 0

    mutating func schedule(at: Moment, _ action: @escaping () -> Void) -> Handle {
        lastNumber += 1
        var low = head
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].at <= at { low = middle + 1 } else { high = middle }
        }
        entries.insert(Entry(at: at, number: lastNumber, action: action), at: low)
        return Handle(number: lastNumber)
    }

    mutating func cancel(_ handle: Handle?) {
        guard let handle else { return }
        guard let index = entries[head...].firstIndex(where: { $0.number == handle.number }) else {
            return
        }
        entries.remove(at: index)
    }

    var next: Moment? { head < entries.count ? entries[head].at : nil }

    /// Takes out what is due, the earliest first.
    mutating func takeDue(at now: Moment) -> [() -> Void] {
        let first = head
        while head < entries.count, entries[head].at <= now { head += 1 }
        guard head > first else { return [] }
        let due = entries[first..<head].map(\.action)
        if head == entries.count {
            entries.removeAll()
            head = 0
        } else if head > 64, head > entries.count / 2 {
            entries.removeFirst(head)
            head = 0
        } else {
            // What has been taken must not be kept alive.
            for index in first..<head { entries[index].action = {} }
        }
        return due
    }
}
