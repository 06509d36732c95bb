// Whether a file is a whole shared object: told before a host is started for it, so that a file that
// was cut short is named as such. The dynamic linker has the last word. Runs in batond.
//
// The layout is that of ELF64, little-endian, as in elf(5).

enum ImageShape {
    /// Bytes enough for the header.
    static let headerBytes = 64
    private static let mostSegments = 128

    /// - Parameters:
    ///   - byteCount: of the whole file.
    ///   - read: the bytes of a range that lies within the file, or `nil`.
    /// - Returns: what is wrong, or `nil`.
    static func fault(byteCount: Int, read: (Range<Int>) -> [UInt8]?) -> String? {
        guard byteCount >= headerBytes, let header = read(0..<headerBytes),
            Array(header[0..<4]) == [0x7f, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F")]
        else { return "it is no shared object (no ELF header)" }
        guard header[4] == 2, header[5] == 1 else {
            return "it is not for this machine (ELF class \(header[4]), data \(header[5]))"
        }
        let type = integer(header, at: 16, bytes: 2)
        guard type == 3 else {
            return "it is no shared object (ELF type \(type)): link it with -shared"
        }
        let segments = Table(
            offset: integer(header, at: 32, bytes: 8),
            entryBytes: integer(header, at: 54, bytes: 2),
            count: integer(header, at: 56, bytes: 2))
        let sections = Table(
            offset: integer(header, at: 40, bytes: 8),
            entryBytes: integer(header, at: 58, bytes: 2),
            count: integer(header, at: 60, bytes: 2))
        guard let segmentsEnd = segments.end, let sectionsEnd = sections.end, segments.count > 0,
            segments.count <= mostSegments, segments.entryBytes >= 56
        else { return "its ELF header makes no sense" }
        var needed = max(segmentsEnd, sectionsEnd)
        if segmentsEnd <= UInt64(byteCount),
            let table = read(Int(segments.offset)..<Int(segmentsEnd))
        {
            for index in 0..<Int(segments.count) {
                let entry = index * Int(segments.entryBytes)
                // PT_LOAD
                guard integer(table, at: entry, bytes: 4) == 1 else { continue }
                let (end, overflow) = integer(table, at: entry + 8, bytes: 8)
                    .addingReportingOverflow(integer(table, at: entry + 32, bytes: 8))
                guard !overflow else { return "its ELF header makes no sense" }
                needed = max(needed, end)
            }
        }
        guard needed <= UInt64(byteCount) else {
            return "it is cut short: \(byteCount) of at least \(needed) bytes"
        }
        return nil
    }

    private struct Table {
        var offset: UInt64
        var entryBytes: UInt64
        var count: UInt64

        /// `nil` if it lies beyond any file.
        var end: UInt64? {
            // Both are 16-bit numbers: no overflow.
            let (end, overflow) = offset.addingReportingOverflow(entryBytes * count)
            return overflow ? nil : end
        }
    }

    private static func integer(_ bytes: [UInt8], at offset: Int, bytes count: Int) -> UInt64 {
        bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
