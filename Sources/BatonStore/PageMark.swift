// How far the log was durable in a segment, told in the segment's header page: far from what it is about,
// so that no page that rots takes both. Used in batond.
//
// It is always true, if not always new: what it says was durable before it was written. So it may be
// written over, torn or lost at any time.

import BatonCore
import CLinux
import Glibc

enum PageMark {
    /// In the header page; a sector of its own, which the header is not in.
    static let offset = 512

    static func encoded(_ position: LogPosition, seed: UInt32) -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(position.word)
        writer.put(writer.crc(seed))
        return writer.bytes
    }

    /// - Parameters:
    ///   - page: that of segment `ordinal`.
    ///   - seed: of that segment's records.
    /// - Returns: `nil` if there is none, or it is not valid.
    static func read(_ page: UnsafeRawBufferPointer, of ordinal: UInt32, seed: UInt32)
        -> LogPosition?
    {
        guard page.count >= Segment.headerBytes else { return nil }
        var reader = unsafe PayloadReader(UnsafeRawBufferPointer(rebasing: page[offset...]))
        guard let word = reader.integer(UInt64.self), let crc = reader.integer(UInt32.self),
            unsafe crc == baton_crc32c(seed, page.baseAddress.map { unsafe $0 + offset }, 8)
        else { return nil }
        let position = LogPosition(word: word)
        return position.segment == ordinal ? position : nil
    }
}
