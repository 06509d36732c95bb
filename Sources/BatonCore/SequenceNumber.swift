// The number of a message in its service's mailbox.

/// Messages are numbered from 1 without gaps; 0 is "none yet".
package struct SequenceNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: UInt64

    @inlinable package init(_ value: UInt64) { self.value = value }
    package static let none = SequenceNumber(0)

    @inlinable package var next: SequenceNumber { SequenceNumber(value &+ 1) }
    @inlinable package func advanced(by count: UInt64) -> SequenceNumber {
        SequenceNumber(value &+ count)
    }
    /// How many messages lie after `earlier`, up to and with this one; 0 if none does.
    @inlinable package func distance(from earlier: SequenceNumber) -> UInt64 {
        value > earlier.value ? value - earlier.value : 0
    }

    package var description: String { String(value) }
    @inlinable package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}
