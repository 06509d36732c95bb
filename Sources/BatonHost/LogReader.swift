// Reads messages out of the mailbox's segments, mapped read-only. Runs in baton-host, and in the
// simulator's hosts.
//
// What lies before the published position is whole and does not change; so no checksum is computed
// here. Every length is checked all the same.

import BatonCore
import BatonLinux
import Glibc

package struct LogReader: ~Copyable {
    private struct Known {
        var byteCount: Int
        /// Where the segment before it ends.
        var previousEnd: UInt32
        var descriptor: Int32
    }

    /// The segment that is read and later ones; earlier ones are let go.
    private var known: [UInt32: Known] = [:]
    private var mapped: Mapping?
    private var segment: UInt32 = 0
    private var offset = 0
    /// The current segment's end, once its successor is known.
    private var end: Int?
    private var next: UInt64 = 1

    /// Segments begin with a header page.
    private static let headerBytes = 4096
    private static let recordHeaderBytes = 32
    private static let message: UInt8 = 2

    package init() {}

    deinit { for old in known.values { _ = close(old.descriptor) } }

    @safe package enum Step {
        /// Nothing before the published position.
        case none
        case message(sequence: UInt64, UnsafeRawBufferPointer)
        case broken(String)
    }

    package mutating func add(
        ordinal: UInt32, byteCount: UInt32, previousEnd: UInt32, descriptor: Int32
    ) {
        if let replaced = known[ordinal] { _ = close(replaced.descriptor) }
        known[ordinal] = Known(
            byteCount: Int(byteCount), previousEnd: previousEnd, descriptor: descriptor)
        if ordinal == segment &+ 1 { end = Int(previousEnd) }
    }

    /// Goes to `position`, back or forth, and reads messages from `sequence` on.
    package mutating func seek(_ position: LogPosition, sequence: UInt64) -> Bool {
        next = sequence
        return enter(position.segment, at: Int(position.offset))
    }

    private mutating func enter(_ ordinal: UInt32, at offset: Int) -> Bool {
        self.offset = offset
        end = known[ordinal &+ 1].map { Int($0.previousEnd) }
        if ordinal == segment, mapped != nil { return true }
        guard let entered = known[ordinal] else { return false }
        segment = ordinal
        do throws(SystemError) {
            mapped = try Mapping(entered.descriptor, count: entered.byteCount, writable: false)
        } catch { mapped = nil }
        for (ordinal, old) in known where ordinal < segment {
            _ = close(old.descriptor)
            known[ordinal] = nil
        }
        return mapped != nil
    }

    package func isBefore(_ published: LogPosition) -> Bool {
        LogPosition(segment: segment, offset: UInt32(truncatingIfNeeded: offset)) < published
    }

    /// The next message before `published`.
    @inline(__always)
    package mutating func step(published: LogPosition) -> Step {
        while LogPosition(segment: segment, offset: UInt32(truncatingIfNeeded: offset)) < published
        {
            if offset == end {
                guard enter(segment &+ 1, at: Self.headerBytes) else {
                    return .broken("segment \(segment &+ 1) was not sent")
                }
                continue
            }
            guard let count = mapped?.count, offset <= count - Self.recordHeaderBytes,
                let base = unsafe mapped?.base
            else { return .broken("the log ends before the published position") }
            let word = unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            let length = Int(
                unsafe base.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
            let payload = offset + Self.recordHeaderBytes
            guard word != 0, length <= count - payload else {
                return .broken("no record at segment \(segment) offset \(offset)")
            }
            offset = payload + (length + 7) & ~7
            guard UInt8(word & 0xff) == Self.message else { continue }
            let sequence = unsafe base.loadUnaligned(
                fromByteOffset: payload - 24, as: UInt64.self)
            if sequence < next { continue }
            guard sequence == next else {
                return .broken("message \(sequence) stands where \(next) is expected")
            }
            next &+= 1
            return unsafe .message(
                sequence: sequence, UnsafeRawBufferPointer(start: base + payload, count: length))
        }
        return .none
    }
}
