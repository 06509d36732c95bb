// Directories as a whole, and small files. Runs in the simulator.

import BatonLinux
import Glibc

enum FileTree {
    /// A file's inode tells it from others, whatever its name.
    struct Entry {
        var name: String
        var inode: UInt64
        var isDirectory: Bool
    }

    static func entries(_ path: String) -> [Entry] {
        let names = (try? DirectoryListing.names(path)) ?? []
        return names.compactMap { name in
            var status = stat()
            guard unsafe lstat("\(path)/\(name)", &status) == 0 else { return nil }
            let isDirectory = status.st_mode & S_IFMT == S_IFDIR
            return Entry(name: name, inode: UInt64(status.st_ino), isDirectory: isDirectory)
        }
    }

    /// 0 if nothing is there.
    static func inode(_ path: String) -> UInt64 {
        var status = stat()
        return unsafe lstat(path, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    static func remove(_ path: String) {
        for entry in entries(path) {
            let below = "\(path)/\(entry.name)"
            if entry.isDirectory { remove(below) } else { _ = unsafe unlink(below) }
        }
        _ = unsafe rmdir(path)
    }

    static func read(_ path: String) -> [UInt8] {
        guard let file = try? Descriptor.open(path, flags: O_RDONLY) else { return [] }
        return read(file.number)
    }

    static func read(_ descriptor: Int32) -> [UInt8] {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return [] }
        let size = Int(status.st_size)
        return unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = max(0, unsafe pread(descriptor, buffer.baseAddress, size, 0))
        }
    }

    static func write(_ bytes: [UInt8], to path: String) {
        let flags = O_WRONLY | O_CREAT | O_TRUNC
        guard let file = try? Descriptor.open(path, flags: flags, mode: 0o600) else {
            preconditionFailure("the simulator cannot write \(path)")
        }
        let put = unsafe Glibc.pwrite(file.number, bytes, bytes.count, 0)
        precondition(put == bytes.count, "the simulator's directory is full")
    }

    static func make(_ path: String) {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            preconditionFailure("the simulator cannot make \(path)")
        }
    }
}
