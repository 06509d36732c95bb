// A mailbox's log read from its files by what FORMAT.md says, and by nothing of BatonStore: an
// independent witness of the format.

import BatonCore
import BatonLinux

struct LogImage {
    struct Record: Equatable {
        enum Kind: UInt8 {
            case batch = 1, message, settle, `switch`, attempt, deadLetter, epoch, footer, base
            case confirm, forget, identity, answer
        }
        var kind: Kind
        var flags: UInt8
        var sequence: UInt64
        var batch: UInt32
        var epoch: UInt32
        var payload: [UInt8]
        /// Header, payload and padding.
        var range: Range<Int>
        var paddingBytes: Int { range.count - 32 - payload.count }
        /// The bytes that pad the payload: zero, and under no checksum.
        var padding: Range<Int> { range.upperBound - paddingBytes..<range.upperBound }
    }

    struct Batch: Equatable {
        var header: Record
        var number: UInt64
        var records: [Record]
        var durable: (segment: UInt32, offset: Int)
        var chain: UInt32
        var firstSequence: UInt64
        var range: Range<Int>

        static func == (left: Batch, right: Batch) -> Bool { left.header == right.header }
    }

    struct Segment {
        var name: String
        var format: UInt32
        var ordinal: UInt32
        var byteCount: Int
        var firstSequence: UInt64
        var firstBatch: UInt64
        var epoch: UInt32
        var previousEnd: Int
        var previousChain: UInt32
        var mailbox: [UInt8]
        /// What its header page says of how far the log was durable.
        var marked: (segment: UInt32, offset: Int)?
        var batches: [Batch]
        var footer: Record?
        /// Where the last batch ends.
        var end: Int
    }

    private(set) var segments: [Segment] = []
    /// By name, those that are there.
    private var slots: [String: [UInt8]] = [:]

    var batches: [Batch] { segments.flatMap(\.batches) }
    var records: [Record] { batches.flatMap(\.records) }
    /// By number.
    var messages: [UInt64: [UInt8]] {
        let messages = records.filter { $0.kind == .message }.map { ($0.sequence, $0.payload) }
        return Dictionary(messages) { first, _ in first }
    }

    struct Fault: Error, CustomStringConvertible {
        var description: String
        init(_ description: String) { self.description = description }
    }

    /// Reads segments up to the first place that does not continue what is before it.
    init(_ files: [String: [UInt8]]) throws(Fault) {
        slots = files.filter { $0.key.hasPrefix("checkpoint.") }
        var chain: UInt32?
        for name in files.keys.filter({ $0.hasSuffix(".segment") }).sorted() {
            var segment = try Self.header(name, files[name] ?? [])
            if let chain, segment.previousChain != chain { return }
            chain = try Self.read(files[name] ?? [], into: &segment)
            segments.append(segment)
        }
    }

    /// What a slot holds, if it is what a record says.
    func content(of checkpoint: Checkpoint) -> [UInt8]? {
        let name = ["checkpoint.a", "checkpoint.b", "checkpoint.c"][Int(checkpoint.slot)]
        guard let bytes = slots[name], bytes.count >= 4096 + checkpoint.byteCount,
            let mailbox = segments.first?.mailbox, Array(bytes[..<8]) == Array("BATONCKP".utf8),
            1...3 ~= Self.word(bytes, 8), Self.word(bytes, 12) == 0,
            Self.word(bytes, 20) == UInt32(checkpoint.slot),
            Self.integer(bytes, 24, 8) == UInt64(bytes.count), Array(bytes[32..<48]) == mailbox,
            Self.word(bytes, 48) == Self.crc(bytes[..<48])
        else { return nil }
        let state = bytes[4096..<4096 + checkpoint.byteCount]
        let seed = Self.crc((mailbox + [checkpoint.slot, 0, 0, 0])[...])
        return Self.crc(state, seed: seed) == checkpoint.crc ? Array(state) : nil
    }

    // MARK: Fields

    private static func integer(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
    }
    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        UInt32(integer(bytes, offset, 4))
    }

    private static func header(_ name: String, _ bytes: [UInt8]) throws(Fault) -> Segment {
        guard bytes.count >= 4096 else { throw Fault("\(name): shorter than a page") }
        guard Array(bytes[..<8]) == Array("BATONLOG".utf8) else { throw Fault("\(name): no magic") }
        guard 1...3 ~= word(bytes, 8) else { throw Fault("\(name): format \(word(bytes, 8))") }
        guard word(bytes, 76) == crc(bytes[..<76]) else { throw Fault("\(name): header CRC") }
        let marked = (word(bytes, 516), Int(word(bytes, 512)))
        let isMarked =
            crc(bytes[512..<520], seed: seed(bytes)) == word(bytes, 520)
            && marked.0 == word(bytes, 20)
        return Segment(
            name: name, format: word(bytes, 8), ordinal: word(bytes, 20),
            byteCount: Int(integer(bytes, 24, 8)), firstSequence: integer(bytes, 32, 8),
            firstBatch: integer(bytes, 40, 8), epoch: word(bytes, 48),
            previousEnd: Int(word(bytes, 52)), previousChain: word(bytes, 56),
            mailbox: Array(bytes[60..<76]), marked: isMarked ? marked : nil, batches: [], end: 4096)
    }

    /// Of a segment's records.
    private static func seed(_ bytes: [UInt8]) -> UInt32 {
        crc((bytes[60..<76] + bytes[20..<24])[...])
    }

    /// - Returns: the CRC of the last batch's header.
    private static func read(_ bytes: [UInt8], into segment: inout Segment) throws(Fault) -> UInt32
    {
        let seed = seed(bytes)
        var chain = segment.previousChain
        while let header = record(bytes, segment.end, seed), header.kind == .batch {
            let payload = header.payload
            guard payload.count == 32 else { throw Fault("a batch of \(payload.count) bytes") }
            let count = Int(word(payload, 4))
            var batch = Batch(
                header: header, number: header.sequence, records: [],
                durable: (word(payload, 12), Int(word(payload, 8))), chain: word(payload, 16),
                firstSequence: integer(payload, 24, 8), range: segment.end..<segment.end + count)
            guard batch.chain == chain else { break }
            var offset = header.range.upperBound
            while offset < batch.range.upperBound, let next = record(bytes, offset, seed) {
                batch.records.append(next)
                offset = next.range.upperBound
            }
            guard offset == batch.range.upperBound, batch.records.count == Int(word(payload, 0))
            else { break }
            segment.batches.append(batch)
            segment.end = offset
            chain = word(bytes, header.range.lowerBound + 28)
        }
        if let footer = record(bytes, segment.end, seed), footer.kind == .footer {
            segment.footer = footer
        }
        return chain
    }

    private static func record(_ bytes: [UInt8], _ offset: Int, _ seed: UInt32) -> Record? {
        guard offset + 32 <= bytes.count, let kind = Record.Kind(rawValue: bytes[offset]),
            bytes[offset + 2] == 0, bytes[offset + 3] == 0
        else { return nil }
        let place = seed ^ (UInt32(offset) &* 0x9e37_79b1)
        guard crc(bytes[offset..<offset + 28], seed: place) == word(bytes, offset + 28) else {
            return nil
        }
        let count = Int(word(bytes, offset + 4))
        guard offset + 32 + count <= bytes.count else { return nil }
        let payload = Array(bytes[offset + 32..<offset + 32 + count])
        guard crc(payload[...]) == word(bytes, offset + 24) else { return nil }
        return Record(
            kind: kind, flags: bytes[offset + 1], sequence: integer(bytes, offset + 8, 8),
            batch: word(bytes, offset + 16), epoch: word(bytes, offset + 20), payload: payload,
            range: offset..<offset + 32 + (count + 7) / 8 * 8)
    }

    // MARK: CRC32C, bit by bit

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
    }

    static func crc(_ bytes: ArraySlice<UInt8>, seed: UInt32 = 0) -> UInt32 {
        ~bytes.reduce(~seed) { crc, byte in
            table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8
        }
    }
}

extension TemporaryDirectory {
    func log() throws -> LogImage { try LogImage(contents()) }
}
