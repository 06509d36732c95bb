// A disk whose power a test can cut, and that fails as a test wants (Tests/powercut), with a file system on
// it: the disk is a file served by that program, a loop device makes a block device of it.

import BatonLinux
import Foundation
import Glibc

final class PowerDisk {
    enum Power: Equatable {
        case on
        /// Of the sectors that no flush had covered, so many are on the disk nevertheless.
        case off(kept: Int, lost: Int)
    }

    private static let program = "\(Products.repository)/.build/powercut"

    /// Why there can be none here; nil if there can.
    static func obstacle(_ kinds: FileSystem.Kind...) -> String? {
        for kind in kinds {
            if let obstacle = FileSystem.obstacle(kind) { return obstacle }
        }
        if unsafe access("/dev/fuse", R_OK | W_OK) != 0 { return "there is no /dev/fuse" }
        if unsafe access(program, X_OK) != 0 { return "'make test' has not built \(program)" }
        return nil
    }

    let mountpoint: String
    private let directory: ScratchDirectory
    private let front: String
    private let process: ChildProcess
    private var device: String?

    /// Makes the file system; it is not mounted yet.
    init(_ kind: FileSystem.Kind, mebibytes: Int, at mountpoint: String) throws {
        self.mountpoint = mountpoint
        directory = try ScratchDirectory()
        let platter = "\(directory.path)/platter"
        try FileSystem.run(["truncate", "-s", "\(max(mebibytes, kind.leastMebibytes))M", platter])
        try kind.make(on: platter)
        front = try directory.makeDirectory("front")
        let log = "\(directory.path)/log"
        process = try ChildProcess(
            Self.program, [platter, front], environment: Tool.surroundings, output: log, error: log)
        let front = front
        try wait(for: "the disk") { unsafe access("\(front)/disk", F_OK) == 0 }
    }

    deinit {
        try? unmount()
        _ = unsafe umount2(front, CInt(MNT_DETACH))
        process.signal(SIGTERM)
        _ = try? process.end()
    }

    // MARK: Its file system

    /// Plugs the disk in and mounts it, which recovers the file system's own journal.
    func mount() throws {
        let losetup = try Tool.run("/usr/sbin/losetup", "-f", "--show", "\(front)/disk")
        guard losetup.exit == .code(0), let device = losetup.lines.first else {
            throw Failure("losetup: \(losetup.error)")
        }
        self.device = device
        try FileSystem.run(["mount", device, mountpoint])
        _ = unsafe chmod(mountpoint, 0o755)
    }

    /// Nobody may have files there any more; those who are being killed are waited for.
    func unmount() throws {
        let mountpoint = mountpoint
        try wait(for: "the end of those who use \(mountpoint)") {
            unsafe umount2(mountpoint, 0) == 0 || errno != EBUSY
        }
        guard let device else { return }
        try FileSystem.run(["losetup", "-d", device])
        self.device = nil
    }

    // MARK: Its power, its faults

    /// A command of powercut.c.
    func tell(_ command: String) throws {
        let control = try Descriptor.open("\(front)/control", flags: O_WRONLY)
        let bytes = Array((command + "\n").utf8)
        guard unsafe write(control.number, bytes, bytes.count) == bytes.count else {
            throw SystemError.last("tell the disk '\(command)'")
        }
    }

    var power: Power {
        get throws {
            let line = try String(contentsOfFile: "\(front)/control", encoding: .utf8)
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.first == "off", words.count == 5, let kept = Int(words[3]),
                let lost = Int(words[4])
            else { return .on }
            return .off(kept: kept, lost: lost)
        }
    }

    var isOff: Bool { get throws { try power != .on } }

    /// Waits in a thread of its own until the power is off, and then does what has to follow.
    func whenOff(_ body: @escaping @Sendable () -> Void) -> Background<Bool> {
        let control = "\(front)/control"
        return Background {
            try wait(for: "the power cut") {
                (FileManager.default.contents(atPath: control) ?? Data()).starts(
                    with: Data("off".utf8))
            }
            body()
            return true
        }
    }
}
