// A place in a mailbox's log.

/// Segment ordinal and byte offset in one word, so that it can be published to a host in one store
/// and compared as one number.
package struct LogPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let word: UInt64

    @inlinable package init(word: UInt64) { self.word = word }
    @inlinable package init(segment: UInt32, offset: UInt32) {
        word = UInt64(segment) << 32 | UInt64(offset)
    }
    @inlinable package var segment: UInt32 { UInt32(truncatingIfNeeded: word >> 32) }
    @inlinable package var offset: UInt32 { UInt32(truncatingIfNeeded: word) }

    package var description: String { "segment \(segment) offset \(offset)" }
    @inlinable package static func < (left: Self, right: Self) -> Bool { left.word < right.word }
}
