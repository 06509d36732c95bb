// The seed of a segment's checksums, found from its records when the header that holds it is gone.
// Used in `batond repair`, by DamagedReading.
//
// A record's header is 28 bytes and their CRC; a CRC is a one-to-one function of its seed, so it can
// be run backwards from the one to the other. The payload's CRC has no seed, and says beforehand
// whether there is a record at all.

import CLinux

enum LostSeed {
    /// The seed that two records agree upon; `nil` if there are no two.
    static func find(in bytes: UnsafeRawBufferPointer) -> UInt32? {
        var seen: Set<UInt32> = []
        var offset = Segment.headerBytes
        while offset <= bytes.count - Record.headerBytes {
            defer { offset += 8 }
            guard let seed = unsafe seed(ofRecordAt: offset, in: bytes) else { continue }
            if !seen.insert(seed).inserted { return seed }
        }
        return nil
    }

    private static func seed(ofRecordAt offset: Int, in bytes: UnsafeRawBufferPointer) -> UInt32? {
        let word = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        let count = Int(unsafe bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
        let start = offset + Record.headerBytes
        guard word != 0, word >> 16 == 0, RecordKind(rawValue: UInt8(word & 0xff)) != nil,
            count <= bytes.count - start
        else { return nil }
        let payload = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
        let crc = unsafe bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt32.self)
        guard unsafe baton_crc32c(0, payload.baseAddress, count) == crc else { return nil }
        let header = unsafe bytes.loadUnaligned(fromByteOffset: offset + 28, as: UInt32.self)
        let seed = unsafe seed(of: header, over: bytes[offset..<offset + 28])
        // The same again takes off what the place put on.
        return Record.seed(seed, offset)
    }

    /// The seed with which `bytes` have this CRC.
    private static func seed(of crc: UInt32, over bytes: Slice<UnsafeRawBufferPointer>) -> UInt32 {
        var crc = ~crc
        for place in (unsafe bytes.startIndex..<bytes.endIndex).reversed() {
            let byte = unsafe bytes[place]
            let index = byTopByte[Int(crc >> 24)]
            crc = (crc ^ table[Int(index)]) << 8 | UInt32(index ^ byte)
        }
        return ~crc
    }

    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { crc, _ in
            crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1
        }
    }
    /// The place in `table` of the entry whose upper byte is this.
    private static let byTopByte: [UInt8] = {
        var places = [UInt8](repeating: 0, count: 256)
        for (index, entry) in table.enumerated() { places[Int(entry >> 24)] = UInt8(index) }
        return places
    }()
}
