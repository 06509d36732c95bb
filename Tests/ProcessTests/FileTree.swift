// Everything below a directory: bytes, modes, owners, times; to see that nothing has changed.

import BatonLinux
import CLinux
import Foundation
import Glibc

struct FileTree: Equatable {
    private struct Entry: Equatable {
        var mode: UInt32
        var owner: UInt32
        var modified: [Int]
        var changed: [Int]
        var bytes: Data?
    }

    private var entries: [String: Entry] = [:]

    init(_ root: String) throws {
        for name in try FileManager.default.subpathsOfDirectory(atPath: root) + ["."] {
            let path = "\(root)/\(name)"
            var status = stat()
            guard unsafe lstat(path, &status) == 0 else {
                throw SystemError.last("look at \(path)")
            }
            entries[name] = Entry(
                mode: status.st_mode, owner: status.st_uid,
                modified: [status.st_mtim.tv_sec, status.st_mtim.tv_nsec],
                changed: [status.st_ctim.tv_sec, status.st_ctim.tv_nsec],
                bytes: status.st_mode & S_IFMT == S_IFREG
                    ? FileManager.default.contents(atPath: path) : nil)
        }
    }

    /// The paths of which something differs.
    func differences(from other: FileTree) -> [String] {
        Set(entries.keys).union(other.entries.keys).filter { entries[$0] != other.entries[$0] }
            .sorted()
    }
}
