// A slot for a state that is too large for the log: one file of a mailbox's directory. The format is
// in FORMAT.md. Used in batond: written on the checkpoint thread, read by recovery.
//
// Invariants: a slot is written only while no record that may be read names it; a record names it only
// when it is durable. So what a record names is whole, or was damaged since.

import BatonCore
import BatonLinux
import CLinux
import Glibc

package enum CheckpointSlot {
    /// One for the state, one for the next or the earlier one, and one for a fallback's.
    package static let count: UInt8 = 3
    /// The state begins here.
    static let headerBytes = 4096

    /// Where the bytes of a state come from.
    package enum Source: Sendable {
        case bytes([UInt8])
        /// A memory that its maker may still change, or cut short.
        case memory(OpenFile, byteCount: Int)
    }

    /// A state that is to be made durable.
    package struct Order: Sendable {
        package let directory: OpenFile
        let mailbox: [UInt8]
        package let slot: UInt8
        let source: Source
        let unitBytes: Int
    }

    /// A state that is durable in its slot, and that no record names yet.
    package struct Written: Sendable {
        package let checkpoint: Checkpoint
        package let bytes: [UInt8]
    }

    package enum Failure: Error, Sendable {
        /// There is no room on the disk; the slots that records name are as they were.
        case noRoom(SystemError)
        case system(SystemError)
        /// The memory holds less than was said.
        case tooShort
    }

    package static func fileName(_ slot: UInt8) -> String {
        "checkpoint.\(Character(UnicodeScalar(UInt8(ascii: "a") + slot)))"
    }

    static func slot(fileName: String) -> UInt8? {
        (0..<count).first { Self.fileName($0) == fileName }
    }

    // MARK: Writing

    /// Durable when this returns.
    static func write(_ order: Order) throws(Failure) -> Written {
        let bytes = try bytes(of: order.source)
        let checkpoint = Checkpoint(
            slot: order.slot, byteCount: bytes.count,
            crc: crc(bytes, mailbox: order.mailbox, slot: order.slot))
        if let file = try existing(order, holding: bytes.count) {
            do throws(SystemError) { try file.write(bytes, at: headerBytes) } catch {
                throw failure(error)
            }
            // After a failed sync nothing can be said of the file: it is never tried again.
            do throws(SystemError) { try file.sync(data: true) } catch { throw .system(error) }
        } else {
            try make(order, bytes)
        }
        return Written(checkpoint: checkpoint, bytes: bytes)
    }

    private static func bytes(of source: Source) throws(Failure) -> [UInt8] {
        switch source {
        case .bytes(let bytes): return bytes
        case .memory(let memory, let byteCount):
            let number = memory.number
            var done = 0
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, filled in
                while done < byteCount {
                    let got = retryInterrupted {
                        unsafe pread(
                            number, buffer.baseAddress.map { unsafe $0 + done }, byteCount - done,
                            off_t(done))
                    }
                    guard got > 0 else { break }
                    done += got
                }
                filled = done
            }
            guard done == byteCount else { throw .tooShort }
            return bytes
        }
    }

    /// The slot's file, if there is one that holds so much and belongs here.
    private static func existing(_ order: Order, holding byteCount: Int) throws(Failure)
        -> OpenFile?
    {
        let file: OpenFile
        do throws(SystemError) {
            file = OpenFile(
                try .open(fileName(order.slot), in: order.directory.number, flags: O_RDWR))
        } catch {
            guard error.code == ENOENT else { throw failure(error) }
            return nil
        }
        do throws(SystemError) {
            let size = Int(try file.descriptor.status().st_size)
            guard size >= headerBytes + byteCount else { return nil }
            let expected = Header(mailbox: order.mailbox, slot: order.slot, byteCount: size)
            return try readHeader(file) == .header(expected) ? file : nil
        } catch { throw failure(error) }
    }

    private static func readHeader(_ file: OpenFile) throws(SystemError) -> Header.Reading {
        var page = [UInt8](repeating: 0, count: Header.encodedByteCount)
        let read = unsafe page.withUnsafeMutableBytes { buffer in
            Result { () throws(SystemError) in
                try unsafe file.descriptor.read(into: buffer, at: 0)
            }
        }
        _ = try read.get()
        return unsafe page.withUnsafeBytes { unsafe Header.read($0) }
    }

    /// A new file in the slot's place: with its header, the state, and zeros, so that a state that
    /// has grown a little needs no room.
    private static func make(_ order: Order, _ bytes: [UInt8]) throws(Failure) {
        let least = headerBytes + bytes.count + bytes.count / 4
        let size = (least + order.unitBytes - 1) / order.unitBytes * order.unitBytes
        let header = Header(mailbox: order.mailbox, slot: order.slot, byteCount: size).encoded()
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        do throws(SystemError) {
            try SegmentFile.complete(fileName(order.slot), in: order.directory) {
                made throws(SystemError) in
                try made.writePage(header)
                try made.write(bytes, at: headerBytes)
                var done = headerBytes + bytes.count
                while done < size {
                    let part = min(zeros.count, size - done)
                    try made.write(Array(zeros[..<part]), at: done)
                    done += part
                }
            }
        } catch { throw failure(error) }
    }

    private static func failure(_ error: SystemError) -> Failure {
        error.meansNoRoom ? .noRoom(error) : .system(error)
    }

    // MARK: Reading

    /// The state that a record says lies in a slot.
    /// - Parameter reason: why it does not.
    static func read(
        _ checkpoint: Checkpoint, mailbox: [UInt8], in directory: OpenFile, reason: inout String
    ) -> [UInt8]? {
        do throws(SystemError) {
            let file = OpenFile(
                try .open(fileName(checkpoint.slot), in: directory.number, flags: O_RDONLY))
            let size = Int(try file.descriptor.status().st_size)
            let header = Header(mailbox: mailbox, slot: checkpoint.slot, byteCount: size)
            guard try readHeader(file) == .header(header) else {
                reason = "its header is not valid"
                return nil
            }
            guard size - headerBytes >= checkpoint.byteCount else {
                reason = "it is too small"
                return nil
            }
            var bytes = [UInt8](repeating: 0, count: checkpoint.byteCount)
            let got = unsafe bytes.withUnsafeMutableBytes { buffer in
                Result { () throws(SystemError) in
                    try unsafe file.descriptor.read(into: buffer, at: headerBytes)
                }
            }
            guard try got.get() == checkpoint.byteCount,
                crc(bytes, mailbox: mailbox, slot: checkpoint.slot) == checkpoint.crc
            else {
                reason = "it does not hold the state that the log names"
                return nil
            }
            return bytes
        } catch {
            reason = error.code == ENOENT ? "it is missing" : "it cannot be read (\(error))"
            return nil
        }
    }

    /// The identity of the mailbox that a slot belongs to.
    static func mailbox(of slot: UInt8, in directory: OpenFile) -> [UInt8]? {
        guard
            let file = try? OpenFile(.open(fileName(slot), in: directory.number, flags: O_RDONLY)),
            case .header(let header) = try? readHeader(file)
        else { return nil }
        return header.mailbox
    }

    /// The version a slot's header bears, if it is of a newer format.
    static func newerFormat(_ slot: UInt8, in directory: OpenFile) throws(SystemError) -> UInt32? {
        let file = OpenFile(try .open(fileName(slot), in: directory.number, flags: O_RDONLY))
        guard case .newerFormat(let version) = try readHeader(file) else { return nil }
        return version
    }

    private static func crc(_ bytes: [UInt8], mailbox: [UInt8], slot: UInt8) -> UInt32 {
        let seed = Segment.seed(mailbox: mailbox, ordinal: UInt32(slot))
        return unsafe bytes.withUnsafeBytes {
            unsafe baton_crc32c(seed, $0.baseAddress, $0.count)
        }
    }

    /// What the first page says, written once.
    struct Header: Equatable {
        var mailbox: [UInt8]
        var slot: UInt8
        /// Of the file.
        var byteCount: Int
    }
}

extension CheckpointSlot.Header {
    static let encodedByteCount = 52
    /// "BATONCKP" in the file.
    private static let magic: UInt64 = 0x504b_434e_4f54_4142

    func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(Self.magic)
        writer.put(Segment.formatVersion)
        writer.put(UInt32(0))  // incompatible features
        writer.put(UInt32(0))  // compatible features
        writer.put(UInt32(slot))
        writer.put(UInt64(byteCount))
        writer.put(raw: mailbox)
        writer.put(writer.crc())
        return writer.bytes
    }

    enum Reading: Equatable {
        case header(CheckpointSlot.Header)
        case newerFormat(UInt32)
        case invalid
    }

    static func read(_ page: UnsafeRawBufferPointer) -> Reading {
        var reader = unsafe PayloadReader(page)
        guard reader.integer(UInt64.self) == magic, let version = reader.integer(UInt32.self),
            let incompatible = reader.integer(UInt32.self), reader.integer(UInt32.self) != nil,
            let slot = reader.integer(UInt32.self), let byteCount = reader.integer(UInt64.self),
            let mailbox = reader.raw(16), let crc = reader.integer(UInt32.self),
            unsafe crc == baton_crc32c(0, page.baseAddress, encodedByteCount - 4),
            let size = Int(exactly: byteCount), let number = UInt8(exactly: slot), version > 0
        else { return .invalid }
        guard version <= Segment.formatVersion, incompatible == 0 else {
            return .newerFormat(version)
        }
        return .header(CheckpointSlot.Header(mailbox: mailbox, slot: number, byteCount: size))
    }
}

extension SystemError {
    /// Whether it may pass when there is room again: on the disk, or for descriptors.
    var meansNoRoom: Bool { isLackOfRoom || [EMFILE, ENFILE].contains(code) }
}
