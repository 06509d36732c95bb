// Processes as /proc shows them.

import Foundation

enum ProcessTable {
    /// The children of `parent`.
    static func children(of parent: pid_t) -> [pid_t] {
        all.filter { $0.parent == parent }.map(\.pid)
    }

    /// The children of `parent` that have ended and were never asked for.
    static func zombies(of parent: pid_t) -> [pid_t] {
        all.filter { $0.parent == parent && $0.state == "Z" }.map(\.pid)
    }

    /// The hosts of a batond that may have gone: each is told its pid on its command line.
    static func hosts(of daemon: pid_t) -> [pid_t] {
        all.filter { entry in
            let words = text("/proc/\(entry.pid)/cmdline").split(separator: "\0")
            return entry.state != "Z" && words.count > 2 && words[0].hasSuffix("/baton-host")
                && words[2] == "\(daemon)"
        }.map(\.pid)
    }

    /// The open descriptors of `pid`.
    static func descriptorCount(_ pid: pid_t) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
    }

    /// The memory of `pid` that is in RAM, in KiB.
    static func residentKibibytes(_ pid: pid_t) throws -> Int { try kibibytes("VmRSS", pid) }

    /// The most that it ever was.
    static func peakKibibytes(_ pid: pid_t) throws -> Int { try kibibytes("VmHWM", pid) }

    /// Nothing with a sanitizer: its own memory is not what a test is about.
    private static func kibibytes(_ field: String, _ pid: pid_t) throws -> Int {
        if Products.areSanitized { return 0 }
        let lines = text("/proc/\(pid)/status").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("\(field):") }),
            let number = line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first,
            let kibibytes = Int(number)
        else { throw Failure("process \(pid) has no \(field)") }
        return kibibytes
    }

    private struct Entry {
        var pid: pid_t
        var state: String
        var parent: pid_t
    }

    private static var all: [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { name in
            guard let pid = pid_t(name) else { return nil }
            // `pid (name, which may have anything in it) state parent ...`
            let afterName = text("/proc/\(pid)/stat").split(separator: ") ").last ?? ""
            let fields = afterName.split(separator: " ")
            guard fields.count > 1, let parent = pid_t(fields[1]) else { return nil }
            return Entry(pid: pid, state: String(fields[0]), parent: parent)
        }
    }

    private static func text(_ file: String) -> String {
        String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }
}

/// What the kernel does for a process at this moment.
struct SystemCall: Equatable {
    /// The call's number and arguments, or `running`.
    private let text: String

    init(of pid: pid_t) throws {
        guard let bytes = FileManager.default.contents(atPath: "/proc/\(pid)/syscall") else {
            throw Failure("process \(pid) has gone")
        }
        text = String(decoding: bytes, as: UTF8.self)
    }

    /// `running`, or the call's number.
    private var kind: Substring { text.prefix { $0 != " " && $0 != "\n" } }

    var waits: Bool { kind != "running" }

    func isSameCall(as other: SystemCall) -> Bool { kind == other.kind }
}
