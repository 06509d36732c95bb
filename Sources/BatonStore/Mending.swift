// What recovery writes: it drops what is torn, and makes durable what it keeps. Each step may be cut
// off at any point and done again. Used in batond.

import BatonCore
import BatonLinux
import Glibc

extension Recovery {
    mutating func mend(_ listing: Listing, _ torn: Torn?) throws(StoreError) {
        let directory = directory
        try StoreError.wrap { () throws(SystemError) in
            for name in listing.unfinished { try SegmentFile.remove(name, in: directory) }
        }
        if segments.isEmpty { try createFirst() }
        if let torn { try drop(torn) }
        try makeDurable()
    }

    private mutating func createFirst() throws(StoreError) {
        var mailbox = [UInt8](repeating: 0, count: 16)
        var generator = SystemRandomNumberGenerator()
        for index in mailbox.indices {
            mailbox[index] = UInt8.random(in: 0...255, using: &generator)
        }
        let header = Segment.Header(
            mailbox: mailbox, ordinal: 1, byteCount: variant.firstSegmentBytes,
            firstSequence: 1, firstBatch: 1, epoch: 1, previousEnd: 0, previousChain: 0)
        let (directory, path) = (directory, path)
        try StoreError.wrap { () throws(SystemError) in
            try SegmentFile.make(
                Segment.fileName(1), in: directory, byteCount: header.byteCount,
                begin: header.encoded())
            // The directory's own name.
            try OpenFile.directory("\(path)/..").sync(data: false)
        }
        segments = [Segment(header: header)]
        report.isNew = true
    }

    /// The last segment first, so that there is never a gap.
    private mutating func drop(_ torn: Torn) throws(StoreError) {
        guard let last = segments.last, !torn.segments.isEmpty || !torn.range.isEmpty else {
            return
        }
        report.bytesDropped = torn.byteCount
        let directory = directory
        try StoreError.wrap { () throws(SystemError) in
            for ordinal in torn.segments.reversed() {
                try SegmentFile.remove(Segment.fileName(ordinal), in: directory)
            }
            let file = try Self.openForWriting(last.ordinal, in: directory)
            try file.write(
                [UInt8](repeating: 0, count: torn.range.count), at: torn.range.lowerBound)
            try file.sync(data: true)
        }
    }

    /// What no batch proves to be durable is written once more and synced, before anything says that
    /// it is. Syncing alone would not do: after a sync that failed the kernel holds it for clean,
    /// and reports success with nothing on the disk.
    private func makeDurable() throws(StoreError) {
        for (index, segment) in segments.enumerated() where segment.ordinal >= proven.segment {
            let isLast = index == segments.count - 1
            let end = isLast ? end : Int(segments[index + 1].header.previousEnd)
            let start = segment.ordinal == proven.segment ? Int(proven.offset) : 0
            if start < end { try rewrite(segment.ordinal, start..<end) }
        }
        let directory = directory
        try StoreError.wrap { () throws(SystemError) in try directory.sync(data: false) }
    }

    private func rewrite(_ ordinal: UInt32, _ range: Range<Int>) throws(StoreError) {
        let bytes = try unsafe readFile(ordinal, atMost: range.upperBound)
        defer { unsafe bytes.deallocate() }
        let directory = directory
        try StoreError.wrap { () throws(SystemError) in
            let file = try Self.openForWriting(ordinal, in: directory)
            if variant.without != .rewriting {
                try unsafe file.descriptor.write(
                    UnsafeRawBufferPointer(rebasing: bytes[range]), at: range.lowerBound)
            }
            try file.sync(data: true)
        }
    }

    private static func openForWriting(_ ordinal: UInt32, in directory: OpenFile)
        throws(SystemError) -> OpenFile
    {
        OpenFile(
            try .open(Segment.fileName(ordinal), in: directory.number, flags: O_RDWR))
    }
}
