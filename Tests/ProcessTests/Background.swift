// Work that goes on in a thread of its own while the test goes on: upgrades under load.

import Foundation

/// Safe to share: `outcome` is touched under the lock of `end` only.
final class Background<Value: Sendable>: @unchecked Sendable {
    private let end = NSCondition()
    private var outcome: Result<Value, any Error>?

    init(_ work: @escaping @Sendable () throws -> Value) {
        let thread = Thread { [self] in
            let result = Result { try work() }
            end.withLock {
                outcome = result
                end.broadcast()
            }
        }
        thread.start()
    }

    var isOver: Bool { end.withLock { outcome != nil } }

    /// What came of it.
    func value(within bound: Duration = .seconds(120)) throws -> Value {
        let limit = Date(timeIntervalSinceNow: Double(bound.milliseconds) / 1000)
        return try end.withLock {
            while true {
                if let outcome { return try outcome.get() }
                if !end.wait(until: limit) {
                    throw TimedOut(what: "end of what goes on beside", bound: bound)
                }
            }
        }
    }
}
