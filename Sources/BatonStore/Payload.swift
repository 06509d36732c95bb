// Writing and reading the fields of a record's payload: little-endian, every length checked.
// Used in batond.

import BatonCore
import CLinux

struct PayloadWriter {
    private(set) var bytes: [UInt8] = []

    mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }
    mutating func put<Integer: FixedWidthInteger>(_ value: Integer) {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }
    /// At most 255 bytes.
    mutating func put(short text: String) {
        let utf8 = text.utf8.prefix(255)
        put(UInt8(utf8.count))
        bytes.append(contentsOf: utf8)
    }
    /// At most 255 bytes.
    mutating func put(blob: [UInt8]) {
        put(UInt8(min(blob.count, 255)))
        bytes.append(contentsOf: blob.prefix(255))
    }
    static func count(short text: String) -> Int { 1 + min(text.utf8.count, 255) }
    static func count(blob: [UInt8]) -> Int { 1 + min(blob.count, 255) }
    mutating func put(raw: [UInt8]) { bytes.append(contentsOf: raw) }
    mutating func put(long: [UInt8]) {
        put(UInt32(long.count))
        bytes.append(contentsOf: long)
    }

    /// The CRC of what was put so far.
    func crc(_ seed: UInt32 = 0) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe baton_crc32c(seed, $0.baseAddress, $0.count) }
    }
}

@safe struct PayloadReader {
    private let bytes: UnsafeRawBufferPointer
    private var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    mutating func integer<Integer: FixedWidthInteger>(_: Integer.Type) -> Integer? {
        let count = Integer.bitWidth / 8
        guard unsafe bytes.count - offset >= count else { return nil }
        defer { offset += count }
        return unsafe Integer(
            littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Integer.self))
    }
    var isAtEnd: Bool { unsafe offset == bytes.count }

    mutating func raw(_ count: Int) -> [UInt8]? {
        guard count >= 0, unsafe bytes.count - offset >= count else { return nil }
        defer { offset += count }
        return unsafe Array(bytes[offset..<offset + count])
    }
    /// What is no UTF-8 was never written: read as something else it would be written as that.
    mutating func short() -> String? {
        blob().flatMap { String(validating: $0, as: UTF8.self) }
    }
    mutating func blob() -> [UInt8]? {
        guard let count = integer(UInt8.self) else { return nil }
        return raw(Int(count))
    }
    mutating func rest() -> [UInt8] {
        defer { offset = unsafe bytes.count }
        return unsafe Array(bytes[offset...])
    }
    mutating func long() -> [UInt8]? {
        guard let count = integer(UInt32.self) else { return nil }
        return raw(Int(count))
    }
}
