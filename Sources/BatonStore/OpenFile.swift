// A file that is written here and synced on another thread: open as long as either needs it.
// Used in batond.

import BatonCore
import BatonLinux
import CLinux
import Glibc

package final class OpenFile: Sendable {
    package let descriptor: Descriptor

    package init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    package var number: Int32 { descriptor.number }

    package static func directory(_ path: String) throws(SystemError) -> OpenFile {
        OpenFile(try .open(path, flags: O_RDONLY | O_DIRECTORY))
    }

    /// Makes what was written durable; for a directory, its names. Never called again after it
    /// failed: the kernel would report success with the data gone.
    package func sync(data: Bool) throws(SystemError) {
        let result = retryInterrupted { Int(data ? fdatasync(number) : fsync(number)) }
        guard result == 0 else { throw .last("sync") }
    }
}
