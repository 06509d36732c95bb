// Who waits for the outcomes of a service's messages, in the messages' order. Runs in batond.

/// Run-length encoded: a thousand lines of one client are one entry.
struct WaitingQueue {
    struct Run {
        /// `nil`: nobody waits (a `SEND`, or a client from before a crash).
        var connection: Connection?
        var slot: UInt64
        var count: UInt64
    }

    private var runs: [Run] = []
    private var head = 0
    /// Outcomes that are waited for.
    private(set) var count: UInt64 = 0

    var isEmpty: Bool { head == runs.count }

    mutating func append(_ connection: Connection?, slot: UInt64, count: UInt64 = 1) {
        guard count > 0 else { return }
        self.count += count
        if head < runs.count {
            let last = runs.count - 1
            let continues =
                runs[last].connection === connection
                && (connection == nil || runs[last].slot + runs[last].count == slot)
            if continues {
                runs[last].count += count
                return
            }
        }
        runs.append(Run(connection: connection, slot: slot, count: count))
    }

    /// `count` outcomes that had come do not count after all: nobody waits for them any more.
    mutating func putBack(_ count: UInt64) {
        guard count > 0 else { return }
        self.count += count
        runs.insert(Run(connection: nil, slot: 0, count: count), at: head)
    }

    /// Everything that is waited for; nobody waits any more.
    mutating func takeAll() -> [Run] {
        let all = Array(runs[head...])
        self = WaitingQueue()
        return all
    }

    /// The run of the next outcome.
    var first: Run? { head < runs.count ? runs[head] : nil }

    /// `count` outcomes of the first run have come.
    mutating func advance(by count: UInt64) {
        precondition(head < runs.count && runs[head].count >= count, "an outcome without a message")
        self.count -= count
        runs[head].slot += count
        runs[head].count -= count
        guard runs[head].count == 0 else { return }
        runs[head].connection = nil
        head += 1
        if head == runs.count {
            runs.removeAll(keepingCapacity: runs.capacity <= 1024)
            head = 0
        } else if head >= 1024, head > runs.count / 2 {
            runs.removeFirst(head)
            head = 0
        }
    }
}
