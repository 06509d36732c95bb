// How much room a file system has. Used in batond.

import Glibc

package struct DiskRoom: Equatable, Sendable {
    /// Bytes that this process may still take, and bytes in all.
    package var free: Int
    package var total: Int

    package init(free: Int, total: Int) { (self.free, self.total) = (free, total) }

    /// Of the file system that `descriptor` lies on; `nil` where it cannot be known, or has no size.
    package static func of(_ descriptor: Int32) -> DiskRoom? {
        var status = statvfs()
        guard unsafe fstatvfs(descriptor, &status) == 0, status.f_blocks > 0 else { return nil }
        // Some blocks are kept for root.
        let blocks = geteuid() == 0 ? status.f_bfree : status.f_bavail
        return DiskRoom(
            free: Int(clamping: UInt64(blocks) &* UInt64(status.f_frsize)),
            total: Int(clamping: UInt64(status.f_blocks) &* UInt64(status.f_frsize)))
    }

    package var freePercent: Int { Int(Double(free) / Double(max(1, total)) * 100) }
}

extension SystemError {
    /// The disk, the quota, or the limit of a file's size: it may pass.
    package var isLackOfRoom: Bool { [ENOSPC, EDQUOT, EFBIG].contains(code) }

    /// The disk does not take what is written.
    package var isFailingDisk: Bool { [EIO, EROFS].contains(code) }
}
