// How a mailbox is kept where it is not as batond keeps it: with segments so small that a test can
// try everything with them, or without one of the rules, to see that the tests would notice. Used in
// batond, as `standard`.

import BatonCore

package struct StoreVariant: Sendable {
    package var firstSegmentBytes = FixedLimits.firstSegmentBytes
    package var lastSegmentBytes = FixedLimits.lastSegmentBytes
    /// What a segment has room for at least, beside its base record.
    package var leastRoomBytes = 64 << 10
    /// The files of slots are as large as a multiple of this.
    package var slotUnitBytes = 64 << 10
    /// What is left out.
    package var without: Rule?

    package init() {}

    package static let standard = StoreVariant()
    /// A few thousand bytes, so that a log of several segments is looked at in no time.
    package static let small: StoreVariant = {
        var small = StoreVariant()
        small.firstSegmentBytes = 8 << 10
        small.lastSegmentBytes = 12 << 10
        small.leastRoomBytes = 2 << 10
        small.slotUnitBytes = 512
        return small
    }()

    /// What keeps acknowledged messages from being lost, one by one.
    package enum Rule: CaseIterable, Sendable {
        /// What is behind a bad place is looked at: it may show that the log had been durable there.
        case proof
        /// A batch says how far the log was durable, and no further.
        case mark
        /// A batch counts only if all its records are valid.
        case wholeness
        /// A batch, and a segment, names the batch before it.
        case chain
        /// A batch of an earlier life is none, and neither is its record within a batch of this one.
        case epoch
        /// A record is valid in its own segment alone.
        case place
        /// What no mark covers is written again when it is recovered.
        case rewriting
        /// A segment is sealed only when its successor is durable.
        case succession
        /// A segment stays until it is durable that nothing in it is needed.
        case durableCursor
        /// A segment stays as long as a rollback may need its messages.
        case fallback
        /// Some of a segment is kept for the settling of what is in it, until there is a spare.
        case reserve
    }

    func seed(of header: Segment.Header) -> UInt32 {
        seed(mailbox: header.mailbox, ordinal: header.ordinal)
    }
    func seed(mailbox: [UInt8], ordinal: UInt32) -> UInt32 {
        without == .place ? 0 : Segment.seed(mailbox: mailbox, ordinal: ordinal)
    }
}
