// Mailboxes as a Baton of each format has left them, kept as text: rows of 32 bytes that are not all
// zeros, each behind its offset. What was released once must be read for ever, so they are never made
// again; GoldenTests.make shows how each was.

import BatonLinux
import Glibc

enum GoldenDirectory {
    struct Fault: Error { var description: String }

    private static let rowBytes = 32
    private static let suffix = ".hex"

    private static func path(_ format: Int) -> String {
        let tests = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        return "/\(tests)/Golden/format-\(format)"
    }

    /// The files of the mailbox that format `format` has left.
    static func read(_ format: Int) throws -> [String: [UInt8]] {
        let path = path(format)
        var files: [String: [UInt8]] = [:]
        for name in try DirectoryListing.names(path) where name.hasSuffix(suffix) {
            files[String(name.dropLast(suffix.count))] = try decode(text("\(path)/\(name)"))
        }
        guard !files.isEmpty else { throw Fault(description: "\(path) holds nothing") }
        return files
    }

    /// - Returns: a directory that holds a copy of it.
    static func copy(_ format: Int) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try directory.restore(read(format))
        return directory
    }

    static func write(_ files: [String: [UInt8]], _ format: Int) throws {
        let path = path(format)
        _ = unsafe mkdir(path, 0o755)
        for (name, bytes) in files {
            let text = Array(encode(bytes).utf8)
            let file = try Descriptor.open(
                "\(path)/\(name)\(suffix)", flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            let written = unsafe text.withUnsafeBytes { buffer in
                Result { () throws(SystemError) in try unsafe file.write(buffer, at: 0) }
            }
            try written.get()
        }
    }

    private static func text(_ path: String) throws -> String {
        let file = try Descriptor.open(path, flags: O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: max(0, lseek(file.number, 0, SEEK_END)))
        let got = unsafe bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(SystemError) in try unsafe file.read(into: buffer, at: 0) }
        }
        guard try got.get() == bytes.count else {
            throw Fault(description: "\(path) cannot be read")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: The text

    private static func encode(_ bytes: [UInt8]) -> String {
        var lines = ["size \(bytes.count)"]
        for start in stride(from: 0, to: bytes.count, by: rowBytes) {
            let row = bytes[start..<min(start + rowBytes, bytes.count)]
            guard row.contains(where: { $0 != 0 }) else { continue }
            let digits = row.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            lines.append("\(start) \(digits.joined())")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func decode(_ text: String) throws(Fault) -> [UInt8] {
        var bytes: [UInt8] = []
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            guard parts.count == 2 else { throw Fault(description: "a line '\(line)'") }
            if parts[0] == "size", let count = Int(parts[1]) {
                bytes = [UInt8](repeating: 0, count: count)
                continue
            }
            let digits = parts[1].compactMap(\.hexDigitValue)
            guard let start = Int(parts[0]), start + digits.count / 2 <= bytes.count else {
                throw Fault(description: "a line '\(line)'")
            }
            for index in 0..<digits.count / 2 {
                bytes[start + index] = UInt8(digits[2 * index] << 4 | digits[2 * index + 1])
            }
        }
        return bytes
    }
}
