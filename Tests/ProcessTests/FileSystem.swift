// A small file system of a test's own, in a file below a loop device: to be filled, limited, made
// read-only, or lost. Only root can have one, and not in every container.

import BatonLinux
import Foundation
import Glibc

final class FileSystem {
    enum Kind: String, Sendable {
        case ext4, xfs

        /// mkfs.xfs makes none that is smaller than 300 MiB.
        var leastMebibytes: Int { self == .xfs ? 320 : 8 }

        func make(on file: String, options: [String] = []) throws {
            let quiet = self == .ext4 ? ["-q", "-F", "-E", "nodiscard"] : ["-q", "-f", "-K"]
            try FileSystem.run(["mkfs.\(rawValue)"] + quiet + options + [file])
        }
    }

    /// Why there can be none here; nil if there can.
    static func obstacle(_ kinds: Kind...) -> String? {
        if geteuid() != 0 { return "it takes root to mount a file system" }
        if unsafe access("/dev/loop-control", W_OK) != 0 { return "there are no loop devices" }
        for kind in kinds where !isThere("mkfs.\(kind.rawValue)") {
            return "there is no mkfs.\(kind.rawValue)"
        }
        return nil
    }

    static func isThere(_ program: String) -> Bool { path(of: program) != nil }

    private static func path(of program: String) -> String? {
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map { "\($0)/\(program)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Runs a command that only an administrator uses.
    static func run(_ words: [String]) throws {
        let output = try Tool.run(path(of: words[0]) ?? words[0], Array(words.dropFirst()))
        guard output.exit == .code(0) else {
            throw Failure("\(words.joined(separator: " ")): \(output.error)")
        }
    }

    let mountpoint: String
    private let directory: ScratchDirectory
    private var filler: String { "\(mountpoint)/filler" }

    /// Makes it and mounts it at `mountpoint`.
    init(
        _ kind: Kind, mebibytes: Int, at mountpoint: String, making: [String] = [],
        mounting: String = "defaults"
    ) throws {
        self.mountpoint = mountpoint
        directory = try ScratchDirectory()
        let file = "\(directory.path)/image"
        try Self.run(["truncate", "-s", "\(mebibytes)M", file])
        try kind.make(on: file, options: making)
        try Self.run(["mount", "-o", "loop,\(mounting)", file, mountpoint])
        _ = unsafe chmod(mountpoint, 0o755)
    }

    deinit { try? unmount() }

    func unmount() throws {
        guard unsafe umount2(mountpoint, 0) != 0, errno != EINVAL else { return }
        // Whoever still has files there.
        _ = unsafe umount2(mountpoint, CInt(MNT_DETACH))
    }

    /// Takes what room there is, but `left` bytes.
    func fill(leaving left: Int = 0) throws {
        let file = try Descriptor.open(
            filler, flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        for size in [1 << 20, 4096, 512] {
            let block = [UInt8](repeating: 120, count: size)
            while unsafe write(file.number, block, size) == size {}
        }
        // What is kept for names and other small things; once it is gone there is nothing.
        guard fsync(file.number) == 0 || errno == ENOSPC else { throw SystemError.last("fill") }
        guard left > 0 else { return }
        let count = Int(try file.status().st_size)
        guard ftruncate(file.number, max(0, count - left)) == 0 else {
            throw SystemError.last("shrink the filler")
        }
    }

    func makeRoom() throws {
        guard unsafe unlink(filler) == 0 else { throw SystemError.last("remove the filler") }
    }
}
