// A Mutex that ThreadSanitizer is told of: it does not see into Swift's own. Used in batond, for the
// little that its threads share.

import CLinux
import Synchronization

package struct ToldMutex<Value>: ~Copyable, Sendable {
    private let mutex: Mutex<Value>
    /// Its address stands for the lock.
    private let name = Name()

    private final class Name: Sendable {}

    package init(_ value: consuming sending Value) { mutex = Mutex(value) }

    package func withLock<Result>(_ body: (inout sending Value) -> sending Result) -> sending Result
    {
        mutex.withLock { value in
            let lock = unsafe Unmanaged.passUnretained(name).toOpaque()
            unsafe baton_lock_taken(lock)
            defer { unsafe baton_lock_left(lock) }
            return body(&value)
        }
    }
}
