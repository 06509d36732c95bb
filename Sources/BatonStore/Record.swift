// One record of a mailbox's log: a header of 32 bytes, then its payload padded to 8. The format is in
// FORMAT.md. Used in batond; baton-host reads message records by the same layout.

import BatonCore
import CLinux
import Glibc

package enum RecordKind: UInt8, Sendable {
    case batch = 1
    case message = 2
    case settle = 3
    case `switch` = 4
    case attempt = 5
    case deadLetter = 6
    case epoch = 7
    case footer = 8
    case base = 9
    case confirm = 10
    case forget = 11
    case identity = 12
    case answer = 13
}

package struct Record {
    package static let headerBytes = 32
    /// A settle record with this flag carries the state as its payload.
    package static let hasState: UInt8 = 1
    /// And with this one the state's format before it, as four bytes.
    package static let hasFormat: UInt8 = 2
    /// With this one alone its payload names the slot that the state lies in.
    package static let namesSlot: UInt8 = 4
    /// And with this one beside it that state is the one there was, copied.
    package static let isCopy: UInt8 = 8

    package var kind: RecordKind
    package var flags: UInt8 = 0
    package var payloadBytes: UInt32
    /// Of a message: its number. Of a settle: the cursor. Of a batch: the batch's number. Of a
    /// switch: the last message of the old version.
    package var sequence: UInt64
    package var batch: UInt32
    package var epoch: UInt32

    package init(
        kind: RecordKind, flags: UInt8 = 0, payloadBytes: Int, sequence: UInt64, batch: UInt32,
        epoch: UInt32
    ) {
        self.kind = kind
        self.flags = flags
        self.payloadBytes = UInt32(payloadBytes)
        self.sequence = sequence
        self.batch = batch
        self.epoch = epoch
    }

    @inline(__always)
    package static func padded(_ count: Int) -> Int { (count + 7) & ~7 }
    /// The whole record's size.
    @inline(__always)
    package static func size(payload: Int) -> Int { headerBytes + padded(payload) }

    /// Writes header and payload to `place`, which lies at `offset` of a segment of this `seed`.
    /// - Parameter first: what the payload begins with, if `payload` is only the rest of it.
    /// - Returns: the header's CRC.
    @inline(__always) @discardableResult
    func write(
        _ payload: UnsafeRawBufferPointer, after first: UInt32? = nil,
        to place: UnsafeMutableRawPointer, seed: UInt32, offset: Int
    ) -> UInt32 {
        let firstBytes = first == nil ? 0 : 4
        let count = firstBytes + payload.count
        // The padding is part of what is written: zero it through the last word first.
        if count & 7 != 0 {
            unsafe place.storeBytes(
                of: 0, toByteOffset: Self.headerBytes + Self.padded(count) - 8, as: UInt64.self)
        }
        if let first {
            unsafe place.storeBytes(of: first, toByteOffset: Self.headerBytes, as: UInt32.self)
        }
        if let bytes = payload.baseAddress, payload.count > 0 {
            unsafe memcpy(place + Self.headerBytes + firstBytes, bytes, payload.count)
        }
        return unsafe writeHeader(
            payloadCRC: baton_crc32c(0, place + Self.headerBytes, count), to: place, seed: seed,
            offset: offset)
    }

    /// Writes the header alone; the payload stands behind `place` already.
    @inline(__always) @discardableResult
    func writeHeader(
        payloadCRC: UInt32, to place: UnsafeMutableRawPointer, seed: UInt32, offset: Int
    ) -> UInt32 {
        unsafe place.storeBytes(
            of: UInt32(kind.rawValue) | UInt32(flags) << 8, as: UInt32.self)
        unsafe place.storeBytes(of: payloadBytes, toByteOffset: 4, as: UInt32.self)
        unsafe place.storeBytes(of: sequence, toByteOffset: 8, as: UInt64.self)
        unsafe place.storeBytes(of: batch, toByteOffset: 16, as: UInt32.self)
        unsafe place.storeBytes(of: epoch, toByteOffset: 20, as: UInt32.self)
        unsafe place.storeBytes(of: payloadCRC, toByteOffset: 24, as: UInt32.self)
        let crc = unsafe baton_crc32c(Self.seed(seed, offset), place, 28)
        unsafe place.storeBytes(of: crc, toByteOffset: 28, as: UInt32.self)
        return crc
    }

    /// Where a record lies is part of its checksum: a copy elsewhere is not valid.
    @inline(__always)
    static func seed(_ segment: UInt32, _ offset: Int) -> UInt32 {
        segment ^ (UInt32(truncatingIfNeeded: offset) &* 0x9e37_79b1)
    }

    /// A valid record at `offset` of a segment's bytes.
    struct Found {
        var record: Record
        var headerCRC: UInt32
        var payload: Range<Int>
    }

    /// The record at `offset`, if header and payload are valid there; checked arithmetic throughout.
    /// - Parameter start: where in the segment the bytes begin.
    static func find(
        in segment: UnsafeRawBufferPointer, at offset: Int, seed: UInt32, start: Int = 0
    ) -> Found? {
        guard
            let found = unsafe findHeader(in: segment, at: offset, seed: seed, start: start)
        else { return nil }
        let payload = unsafe UnsafeRawBufferPointer(rebasing: segment[found.payload])
        let crc = unsafe baton_crc32c(0, payload.baseAddress, payload.count)
        let expected = unsafe segment.loadUnaligned(fromByteOffset: offset + 24, as: UInt32.self)
        return crc == expected ? found : nil
    }

    @inline(__always)
    static func findHeader(
        in segment: UnsafeRawBufferPointer, at offset: Int, seed: UInt32, start: Int = 0
    ) -> Found? {
        guard offset >= 0, offset <= segment.count - headerBytes else { return nil }
        let word = unsafe segment.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        guard word != 0, word >> 16 == 0, let kind = RecordKind(rawValue: UInt8(word & 0xff)) else {
            return nil
        }
        let count = Int(unsafe segment.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
        guard count <= segment.count - headerBytes - offset,
            let base = segment.baseAddress
        else { return nil }
        let crc = unsafe segment.loadUnaligned(fromByteOffset: offset + 28, as: UInt32.self)
        guard unsafe baton_crc32c(Self.seed(seed, start + offset), base + offset, 28) == crc else {
            return nil
        }
        let record = unsafe Record(
            kind: kind, flags: UInt8(word >> 8 & 0xff), payloadBytes: count,
            sequence: segment.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self),
            batch: segment.loadUnaligned(fromByteOffset: offset + 16, as: UInt32.self),
            epoch: segment.loadUnaligned(fromByteOffset: offset + 20, as: UInt32.self))
        let payload = offset + headerBytes
        return Found(record: record, headerCRC: crc, payload: payload..<payload + count)
    }
}
