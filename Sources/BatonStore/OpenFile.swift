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
        Self.witness.withLock { $0 }?(number)
    }

    private static let witness = ToldMutex<(@Sendable (Int32) -> Void)?>(nil)

    /// - Parameter witness: told of each sync that has succeeded, on its thread; `nil`: nobody is. So a
    ///   simulated disk knows what it must not lose.
    package static func tellSyncs(to witness: (@Sendable (Int32) -> Void)?) {
        Self.witness.withLock { $0 = witness }
    }
}

extension OpenFile {
    package func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
        var failed: SystemError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(SystemError) { try unsafe descriptor.write(buffer, at: offset) } catch {
                failed = error
            }
        }
        if let failed { throw failed }
    }

    /// Writes `bytes` and zeros to the end of the first page.
    func writePage(_ bytes: [UInt8]) throws(SystemError) {
        try write(
            bytes + [UInt8](repeating: 0, count: Segment.headerBytes - bytes.count), at: 0)
    }
}
