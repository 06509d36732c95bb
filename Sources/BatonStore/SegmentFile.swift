// The operations on files below a mailbox's directory. A file gets its name only when its contents
// are durable. Used in batond.

import BatonCore
import BatonLinux
import CLinux
import Glibc

package enum SegmentFile {
    static let spare = "spare"

    /// Whether this is the name of a file that was being made when a life ended.
    static func isUnfinished(_ name: String) -> Bool {
        guard name.hasSuffix(temporary) else { return false }
        let finished = String(name.dropLast(temporary.utf8.count))
        return finished == spare || Segment.ordinal(fileName: finished) != nil
            || CheckpointSlot.slot(fileName: finished) != nil
    }

    /// Makes a file of zeros: written, not only allocated, so that later writes need no room.
    /// - Parameter begin: what it begins with instead.
    static func make(
        _ name: String, in directory: OpenFile, byteCount: Int, begin: [UInt8] = []
    ) throws(SystemError) {
        try complete(name, in: directory, byteCount) { made throws(SystemError) in
            let zeros = [UInt8](repeating: 0, count: min(byteCount, 1 << 20))
            var done = 0
            while done < byteCount {
                let part = min(zeros.count, byteCount - done)
                try write(zeros[..<part], to: made, at: done, name: name)
                done += part
            }
            try write(begin[...], to: made, at: 0, name: name)
        }
    }

    static func copy(_ source: OpenFile, byteCount: Int, to name: String, in directory: OpenFile)
        throws(SystemError)
    {
        try complete(name, in: directory, byteCount) { made throws(SystemError) in
            var part = [UInt8](repeating: 0, count: 1 << 20)
            var done = 0
            while done < byteCount {
                let got = try readPart(source, into: &part, at: done)
                guard got > 0 else {
                    throw SystemError("copy \(name): it became shorter", code: EIO)
                }
                try write(part[..<got], to: made, at: done, name: name)
                done += got
            }
        }
    }

    private static let temporary = ".new"

    /// Fills a file under a temporary name; what cannot be finished takes no room.
    /// - Parameter byteCount: what it will have, if that is known.
    static func complete(
        _ name: String, in directory: OpenFile, _ byteCount: Int = 0,
        _ fill: (OpenFile) throws(SystemError) -> Void
    ) throws(SystemError) {
        let unfinished = name + temporary
        // A full disk need not be filled to the brim to be found full.
        if let room = DiskRoom.of(directory.number), room.free < byteCount {
            throw SystemError("make \(name)", code: ENOSPC)
        }
        do throws(SystemError) {
            let made = OpenFile(
                try .open(
                    unfinished, in: directory.number, flags: O_RDWR | O_CREAT | O_TRUNC,
                    mode: 0o600))
            try fill(made)
            try made.sync(data: false)
            try rename(unfinished, to: name, in: directory)
        } catch {
            _ = unsafe unlinkat(directory.number, unfinished, 0)
            throw error
        }
        try directory.sync(data: false)
    }

    private static func readPart(_ file: OpenFile, into part: inout [UInt8], at offset: Int)
        throws(SystemError) -> Int
    {
        let number = file.number
        let got = unsafe part.withUnsafeMutableBytes { buffer in
            retryInterrupted {
                unsafe pread(number, buffer.baseAddress, buffer.count, off_t(offset))
            }
        }
        guard got >= 0 else { throw .last("read") }
        return got
    }

    private static func write(
        _ bytes: ArraySlice<UInt8>, to file: OpenFile, at offset: Int, name: String
    ) throws(SystemError) {
        var failed: SystemError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(SystemError) {
                try unsafe file.descriptor.write(buffer, at: offset)
            } catch { failed = SystemError("write \(name)", code: error.code) }
        }
        if let failed { throw failed }
    }

    package static func rename(_ old: String, to new: String, in directory: OpenFile)
        throws(SystemError)
    {
        guard unsafe renameat(directory.number, old, directory.number, new) == 0 else {
            throw .last("rename \(old) to \(new)")
        }
    }

    package static func remove(_ name: String, in directory: OpenFile) throws(SystemError) {
        guard unsafe unlinkat(directory.number, name, 0) == 0 || errno == ENOENT else {
            throw .last("remove \(name)")
        }
    }
}
