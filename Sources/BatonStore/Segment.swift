// One file of a mailbox's log: its name, its header page, and what is known of it. Used in batond.

import BatonCore
import CLinux
import Glibc

package struct Segment: Sendable {
    /// Records begin here: the header has a page of its own, in which nothing is written later but a
    /// mark (PageMark).
    package static let headerBytes = 4096
    /// Kept free at the end for the footer.
    static let footerBytes = Record.size(payload: 16)
    static let formatVersion: UInt32 = 3

    /// What the header page says.
    package struct Header: Equatable, Sendable {
        var version = Segment.formatVersion
        var mailbox: [UInt8]  // 16 random bytes
        var ordinal: UInt32
        var byteCount: Int
        /// The next message's number when the segment was begun.
        var firstSequence: UInt64
        var firstBatch: UInt64
        var epoch: UInt32
        /// Where the segment before it ends; 0 for the first.
        var previousEnd: UInt32
        /// The CRC of the last batch header in the segment before it.
        var previousChain: UInt32
    }

    package let header: Header
    /// The numbers of batches' first messages and where those batches begin, at least
    /// `indexBytes` apart, in order: to find a message without reading all before it.
    var index: [(sequence: UInt64, offset: UInt32)] = []
    /// The next message's number at the end of this segment.
    var endSequence: UInt64

    static let indexBytes = 64 << 10

    init(header: Header) {
        self.header = header
        endSequence = header.firstSequence
    }

    package var ordinal: UInt32 { header.ordinal }
    package var byteCount: Int { header.byteCount }

    mutating func note(batchAt offset: Int, firstSequence: UInt64) {
        if let last = index.last, offset - Int(last.offset) < Self.indexBytes { return }
        index.append((firstSequence, UInt32(offset)))
    }

    /// What seeds the checksum of every record in a segment.
    static func seed(mailbox: [UInt8], ordinal: UInt32) -> UInt32 {
        var writer = PayloadWriter()
        writer.put(raw: mailbox)
        writer.put(ordinal)
        return writer.crc()
    }

    static func fileName(_ ordinal: UInt32) -> String {
        let digits = String(ordinal)
        return String(repeating: "0", count: 10 - digits.count) + digits + ".segment"
    }
    static func ordinal(fileName: String) -> UInt32? {
        guard let ordinal = UInt32(fileName.prefix(10)), Self.fileName(ordinal) == fileName else {
            return nil
        }
        return ordinal
    }
}

extension Segment.Header {
    var seed: UInt32 { Segment.seed(mailbox: mailbox, ordinal: ordinal) }

    func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(Self.magic)
        writer.put(version)
        writer.put(UInt32(0))  // incompatible features
        writer.put(UInt32(0))  // compatible features
        writer.put(ordinal)
        writer.put(UInt64(byteCount))
        writer.put(firstSequence)
        writer.put(firstBatch)
        writer.put(epoch)
        writer.put(previousEnd)
        writer.put(previousChain)
        writer.put(raw: mailbox)
        writer.put(writer.crc())
        return writer.bytes
    }

    /// "BATONLOG" in the file.
    private static let magic: UInt64 = 0x474f_4c4e_4f54_4142

    enum Reading: Equatable {
        case header(Segment.Header)
        case newerFormat(UInt32)
        case invalid
    }

    static func read(_ page: UnsafeRawBufferPointer) -> Reading {
        var reader = unsafe PayloadReader(page)
        guard reader.integer(UInt64.self) == magic, let version = reader.integer(UInt32.self),
            let incompatible = reader.integer(UInt32.self), reader.integer(UInt32.self) != nil,
            let ordinal = reader.integer(UInt32.self), let byteCount = reader.integer(UInt64.self),
            let firstSequence = reader.integer(UInt64.self),
            let firstBatch = reader.integer(UInt64.self), let epoch = reader.integer(UInt32.self),
            let previousEnd = reader.integer(UInt32.self),
            let previousChain = reader.integer(UInt32.self), let mailbox = reader.raw(16),
            let size = Int(exactly: byteCount), firstSequence > 0, firstBatch > 0,
            version > 0
        else { return .invalid }
        let header = Segment.Header(
            version: version, mailbox: mailbox, ordinal: ordinal, byteCount: size,
            firstSequence: firstSequence, firstBatch: firstBatch, epoch: epoch,
            previousEnd: previousEnd, previousChain: previousChain)
        let length = header.encoded().count - 4
        guard length + 4 <= page.count else { return .invalid }
        let crc = unsafe baton_crc32c(0, page.baseAddress, length)
        guard reader.integer(UInt32.self) == crc else { return .invalid }
        if version > Segment.formatVersion || incompatible != 0 { return .newerFormat(version) }
        return .header(header)
    }
}
