// Finds messages in a mailbox's log: for hosts, which read it themselves, and for batond, which reads
// single messages. Used in batond.

import BatonCore
import BatonLinux
import Glibc

extension Mailbox {
    /// A place at or before the message `sequence`, from where a host finds it.
    package func position(of sequence: SequenceNumber) -> LogPosition {
        guard let segment = segments.first(where: { $0.endSequence > sequence.value }) else {
            return readable
        }
        let range = segment.range(of: sequence, end: UInt32(segment.byteCount))
        return LogPosition(segment: segment.ordinal, offset: range.lowerBound)
    }

    /// The segments from `ordinal` on, as a host is told of them.
    package func segments(from ordinal: UInt32) -> [(
        ordinal: UInt32, byteCount: UInt32, previousEnd: UInt32
    )] {
        segments.filter { $0.ordinal >= ordinal }.map {
            ($0.ordinal, UInt32($0.byteCount), $0.header.previousEnd)
        }
    }

    package func openForReading(_ ordinal: UInt32) throws(StoreError) -> Descriptor {
        let directory = directory
        return try StoreError.wrap { () throws(SystemError) in
            try .open(Segment.fileName(ordinal), in: directory.number, flags: O_RDONLY)
        }
    }

    /// The bytes of one message, read from the log and checked; `nil` if it is not there any more, or
    /// not yet.
    package mutating func message(_ sequence: SequenceNumber) throws(StoreError) -> [UInt8]? {
        guard sequence >= oldestKept, sequence <= appended else { return nil }
        try flush()
        guard let index = segments.firstIndex(where: { $0.endSequence > sequence.value }) else {
            return nil
        }
        let segment = segments[index]
        let isLast = index == segments.count - 1
        let end = isLast ? readable.offset : segments[index + 1].header.previousEnd
        let range = segment.range(of: sequence, end: end)
        let start = Int(range.lowerBound)
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: range.count, alignment: 16)
        defer { unsafe buffer.deallocate() }
        let file = try openForReading(segment.ordinal)
        let got: Int
        do throws(SystemError) {
            got = try unsafe file.read(into: buffer, at: start)
        } catch { throw lost(sequence, segment, "\(error)") }
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<got])
        let seed = variant.seed(of: segment.header)
        var offset = 0
        while let found = unsafe Record.findHeader(in: bytes, at: offset, seed: seed, start: start)
        {
            if found.record.kind == .message, found.record.sequence == sequence.value {
                guard unsafe Record.find(in: bytes, at: offset, seed: seed, start: start) != nil
                else { throw lost(sequence, segment, "its checksum is wrong") }
                return unsafe Array(bytes[found.payload])
            }
            offset += Record.size(payload: found.payload.count)
        }
        throw lost(sequence, segment, "no record at offset \(start + offset)")
    }

    private func lost(_ sequence: SequenceNumber, _ segment: Segment, _ reason: String)
        -> StoreError
    {
        .corrupt(
            place: "\(service): \(Segment.fileName(segment.ordinal)) message \(sequence)",
            reason: reason)
    }
}

extension Segment {
    /// Where in this segment the message `sequence` is found, if it is in it: from one batch's
    /// beginning to another's, or to the end of what is written.
    fileprivate func range(of sequence: SequenceNumber, end: UInt32) -> Range<UInt32> {
        var (low, high) = (0, index.count)
        while low < high {
            let middle = (low + high) / 2
            if index[middle].sequence <= sequence.value { low = middle + 1 } else { high = middle }
        }
        let start = low > 0 ? index[low - 1].offset : UInt32(Self.headerBytes)
        return start..<max(start, low < index.count ? index[low].offset : end)
    }
}
