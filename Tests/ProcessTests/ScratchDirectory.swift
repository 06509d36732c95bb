// A directory of a test's own, gone with it. Its path is short: a socket's address has 107 bytes.

import BatonLinux
import Foundation
import Glibc

final class ScratchDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/bt-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func makeDirectory(_ name: String) throws -> String {
        let directory = "\(path)/\(name)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o755])
        return directory
    }

    /// A file with these bytes that only its owner may write.
    @discardableResult
    func write(_ bytes: Data, _ name: String) throws -> String {
        let file = "\(path)/\(name)"
        guard
            FileManager.default.createFile(
                atPath: file, contents: bytes, attributes: [.posixPermissions: 0o755])
        else { throw Failure("\(file) cannot be written") }
        return file
    }
}
