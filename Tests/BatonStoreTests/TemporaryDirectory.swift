// A directory of a test's own, gone when the test is: in memory where there is such a place, since no
// test here is about the disk below the files.

import BatonLinux
import Glibc

final class TemporaryDirectory {
    let path: String

    init() throws(SystemError) {
        let base = unsafe access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(base)/baton-store-XXXXXX".utf8CString)
        let made: String? = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let name = buffer.baseAddress, let made = unsafe mkdtemp(name) else {
                return nil
            }
            return unsafe String(cString: made)
        }
        guard let made else { throw .last("make a temporary directory") }
        path = made
    }

    deinit {
        for name in (try? names()) ?? [] { _ = unsafe unlink("\(path)/\(name)") }
        _ = unsafe rmdir(path)
    }

    /// For who makes it again.
    func removeItself() throws(SystemError) {
        guard unsafe rmdir(path) == 0 else { throw .last("remove \(path)") }
    }

    func names() throws(SystemError) -> [String] { try DirectoryListing.names(path) }

    func read(_ name: String) throws(SystemError) -> [UInt8] {
        let file = try file(name, O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: lseek(file.number, 0, SEEK_END))
        let got = unsafe bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(SystemError) in try unsafe file.read(into: buffer, at: 0) }
        }
        guard try got.get() == bytes.count else { throw SystemError("read \(name)", code: EIO) }
        return bytes
    }

    func write(_ bytes: some Collection<UInt8>, to name: String, at offset: Int = 0)
        throws(SystemError)
    {
        let file = try file(name, O_WRONLY | O_CREAT)
        let bytes = Array(bytes)
        let written = unsafe bytes.withUnsafeBytes { buffer in
            Result { () throws(SystemError) in try unsafe file.write(buffer, at: offset) }
        }
        try written.get()
    }

    func truncate(_ name: String, to count: Int) throws(SystemError) {
        guard unsafe Glibc.truncate("\(path)/\(name)", count) == 0 else { throw .last("truncate") }
    }
    func remove(_ name: String) throws(SystemError) {
        guard unsafe unlink("\(path)/\(name)") == 0 else { throw .last("remove \(name)") }
    }
    func rename(_ name: String, to new: String) throws(SystemError) {
        guard unsafe Glibc.rename("\(path)/\(name)", "\(path)/\(new)") == 0 else {
            throw .last("rename \(name)")
        }
    }

    /// Every file with its bytes.
    func contents() throws(SystemError) -> [String: [UInt8]] {
        var all: [String: [UInt8]] = [:]
        for name in try names() { all[name] = try read(name) }
        return all
    }

    /// Whether it holds these files and no other.
    func holds(_ contents: [String: [UInt8]]) throws(SystemError) -> Bool {
        guard try names() == contents.keys.sorted() else { return false }
        for (name, expected) in contents {
            let bytes = try read(name)
            let isSame = unsafe bytes.withUnsafeBytes { bytes in
                unsafe expected.withUnsafeBytes { expected in
                    guard bytes.count == expected.count else { return false }
                    guard let left = bytes.baseAddress, let right = expected.baseAddress else {
                        return true
                    }
                    return unsafe memcmp(left, right, bytes.count) == 0
                }
            }
            if !isSame { return false }
        }
        return true
    }

    /// Makes it hold these files and no other.
    func restore(_ contents: [String: [UInt8]]) throws(SystemError) {
        for name in try names() where contents[name] == nil { try remove(name) }
        for (name, bytes) in contents {
            try write(bytes, to: name)
            try truncate(name, to: bytes.count)
        }
    }

    private func file(_ name: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        try .open("\(path)/\(name)", flags: flags, mode: 0o600)
    }
}
