// Segments of one mailbox that nothing needs any more, until their files are gone. Used in batond.
//
// Invariant: files go strictly in order, one job at a time: a file that cannot be removed keeps those
// behind it, since recovery takes a gap in the ordinals for damage. What stayed is tried again with
// the next that comes.

import BatonCore

struct Retired {
    /// What one job is to do.
    struct Removal: Equatable {
        var ordinals: [UInt32]
        /// Of the last of them, if that becomes the spare.
        var spareByteCount: Int?
    }

    /// Those that have the size of a spare may become it.
    private var waiting: [(ordinal: UInt32, spareByteCount: Int?)] = []
    /// The job under way, of the first that wait.
    private var underWay: Removal?
    /// The first that wait are left from a job that failed: there is nothing to do until more come.
    private var failed = 0

    var isBeingRemoved: Bool { underWay != nil }

    mutating func append(_ segment: Segment, isRecycled: Bool) {
        waiting.append((segment.ordinal, isRecycled ? segment.byteCount : nil))
    }

    /// The job to begin now, if there is one.
    mutating func next(wantsSpare: Bool) -> Removal? {
        guard underWay == nil, let last = waiting.last, waiting.count > failed else { return nil }
        let removal = Removal(
            ordinals: waiting.map(\.ordinal),
            spareByteCount: wantsSpare ? last.spareByteCount : nil)
        underWay = removal
        return removal
    }

    /// The job has ended, with the first `count` of its segments gone.
    /// - Returns: the job.
    mutating func removed(_ count: Int, failed hasFailed: Bool) -> Removal {
        guard let removal = underWay, count <= removal.ordinals.count else {
            preconditionFailure("\(count) segments are gone that nobody removed")
        }
        underWay = nil
        waiting.removeFirst(count)
        failed = hasFailed ? waiting.count : 0
        return removal
    }
}
