// What is done with the disk away from the loop: syncs on the commit thread; large states written on
// the checkpoint thread; segments made, recycled and removed, and images kept, on the housekeeping
// thread. Used in batond.

import BatonCore
import BatonLinux
import CLinux
import Glibc

/// A file and what of it is to be made durable.
package struct SyncTarget: Sendable {
    package var file: OpenFile
    /// `false` for a directory, or a file that grew.
    package var dataOnly: Bool

    package init(_ file: OpenFile, dataOnly: Bool) {
        self.file = file
        self.dataOnly = dataOnly
    }
}

package enum DiskJob: Sendable {
    /// A commit: all of it, or it has failed.
    case sync([SyncTarget])
    case makeSpare(ServiceName, directory: OpenFile, byteCount: Int)
    /// Segments that nothing needs any more, the oldest first; the last of them becomes the spare, if
    /// its size is given. Where one cannot be removed those behind it stay: there is never a gap.
    case letGo(ServiceName, directory: OpenFile, ordinals: [UInt32], spareByteCount: Int?)
    /// Makes a state durable in a slot that no record names yet.
    case checkpoint(ServiceName, CheckpointSlot.Order)
    /// Writes an image's bytes, from a memfd, under `name` and makes it durable.
    case keepImage(ServiceName, directory: OpenFile, name: String, image: OpenFile, byteCount: Int)

    package enum Result: Sendable {
        case synced(SystemError?)
        case spare(ServiceName, byteCount: Int, SystemError?)
        /// How many of the segments are gone.
        case gone(ServiceName, count: Int, SystemError?)
        case checkpoint(ServiceName, Swift.Result<CheckpointSlot.Written, CheckpointSlot.Failure>)
        case imageKept(ServiceName, name: String, SystemError?)
    }

    package static func perform(_ job: DiskJob) -> Result {
        switch job {
        case .sync(let targets):
            return .synced(
                attempt { () throws(SystemError) in
                    for target in targets { try target.file.sync(data: target.dataOnly) }
                })
        case .makeSpare(let service, let directory, let byteCount):
            return .spare(
                service, byteCount: byteCount,
                attempt { () throws(SystemError) in
                    try SegmentFile.make(SegmentFile.spare, in: directory, byteCount: byteCount)
                })
        case .letGo(let service, let directory, let ordinals, let spareByteCount):
            var count = 0
            let error = attempt { () throws(SystemError) in
                for ordinal in ordinals {
                    let name = Segment.fileName(ordinal)
                    if spareByteCount != nil, count == ordinals.count - 1 {
                        try SegmentFile.rename(name, to: SegmentFile.spare, in: directory)
                        try directory.sync(data: false)
                    } else {
                        try SegmentFile.remove(name, in: directory)
                    }
                    count += 1
                }
            }
            return .gone(service, count: count, error)
        case .checkpoint(let service, let order):
            do throws(CheckpointSlot.Failure) {
                return .checkpoint(service, .success(try CheckpointSlot.write(order)))
            } catch { return .checkpoint(service, .failure(error)) }
        case .keepImage(let service, let directory, let name, let image, let byteCount):
            return .imageKept(
                service, name: name,
                attempt { () throws(SystemError) in
                    try SegmentFile.copy(image, byteCount: byteCount, to: name, in: directory)
                })
        }
    }

    private static func attempt(_ body: () throws(SystemError) -> Void) -> SystemError? {
        do throws(SystemError) { try body() } catch { return error }
        return nil
    }
}
