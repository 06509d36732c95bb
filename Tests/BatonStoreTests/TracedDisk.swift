// What a thread does to the files of one directory: every write, sync, rename and removal, in order,
// and any of them made to fail. For what no real disk does when it is asked to: a power cut at each
// instant, a sync that fails.
//
// TracedCalls.swift has BatonStore's calls of the C library come here first.

import BatonLinux
import Glibc

final class TracedDisk {
    /// A file, whatever its name is at the time.
    typealias File = Int

    enum Event: Equatable {
        /// A file that has no proper name yet.
        case make(File, String)
        case write(File, offset: Int, bytes: [UInt8])
        case sync(File)
        /// The sync failed, and the kernel took what was written for clean.
        case failedSync(File)
        case syncDirectory
        case rename(File, from: String, to: String)
        case remove(String)
    }

    /// What is made to fail.
    enum Failure {
        /// The sync of this number, counted from 0.
        case sync(Int)
        /// The write of this number: half of it is done.
        case write(Int)
        /// Every write to a file that is being made.
        case noRoom
        /// Every removal of a file of this name.
        case remove(String)
        /// Every renaming of a file of this name.
        case rename(String)
        /// The call of this number, with this error; nothing of it is done.
        case call(Int, Int32)
        /// The read or write of this number among all calls does half, and says so.
        case short(Int)
        /// From the call of this number on there is room for no new file.
        case noRoomFrom(Int)
    }

    /// A call of the C library.
    enum Call {
        case open, create, read, write, syncData, sync, rename, remove, list, nextName, status
        case makeDirectory
    }

    /// What a store with a fault of its own would take a sync for.
    enum SyncFault {
        /// It asks again after one that failed, and is told that all is well.
        case isRetried
        /// It forgets those of directories.
        case leavesOutDirectories
        /// It forgets those of a file that has no proper name yet.
        case leavesOutNewFiles
    }

    private(set) var events: [Event] = []
    private(set) var syncCount = 0
    private(set) var writeCount = 0
    /// Who has which name now.
    private(set) var names: [String: File] = [:]
    /// Who had which name when the trace began.
    let namesAtFirst: [String: File]
    var failure: Failure?
    var syncFault: SyncFault?
    /// The next write is cut in the middle, as a life's last.
    var cutsNextWrite = false
    private(set) var calls: [Call] = []

    private let path: String
    private var files = 0

    /// Files that are there already are taken for durable as they are.
    init(_ directory: TemporaryDirectory) throws(SystemError) {
        path = directory.path
        let existing = try directory.names()
        files = existing.count
        namesAtFirst = Dictionary(uniqueKeysWithValues: zip(existing, 0...))
        names = namesAtFirst
    }

    /// Runs `body` on this thread with everything it does to the directory traced.
    func trace<R, Failure: Error>(_ body: () throws(Failure) -> R) throws(Failure) -> R {
        let thread = pthread_self()
        TracedCalls.begin(self, on: thread)
        defer { TracedCalls.end(on: thread) }
        return try body()
    }

    private func make() -> File {
        files += 1
        return files - 1
    }

    /// The name below the directory of an open file: "" for the directory itself.
    private func name(_ descriptor: Int32) -> String? {
        var target = [CChar](repeating: 0, count: 4096)
        let count = unsafe readlink("/proc/self/fd/\(descriptor)", &target, target.count)
        let text = String(
            decoding: target.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard text.hasPrefix(path) else { return nil }
        return String(text.dropFirst(path.count + 1))
    }

    // MARK: What happens

    /// - Returns: the error that the call must fail with.
    func enter(_ call: Call) -> Int32? {
        let number = calls.count
        calls.append(call)
        switch failure {
        case .call(number, let code): return code
        case .noRoomFrom(let first) where number >= first && call == .create: return ENOSPC
        default: return nil
        }
    }

    /// - Returns: how much of `count` bytes the call that was entered last does.
    func share(of count: Int) -> Int {
        if case .short(calls.count - 1) = failure, count > 1 { count / 2 } else { count }
    }

    /// - Returns: how many of `bytes` may be written; `nil` for all of them.
    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int)
        -> Int?
    {
        guard let name = name(descriptor) else { return nil }
        defer { writeCount += 1 }
        var limit: Int?
        if case .write(writeCount) = failure { limit = bytes.count / 2 }
        if cutsNextWrite {
            limit = bytes.count / 2
            cutsNextWrite = false
        }
        if case .noRoom = failure, name.hasSuffix(".new") { limit = 0 }
        // Another file of this name: it was made anew.
        if lseek(descriptor, 0, SEEK_END) == 0 {
            let made = make()
            names[name] = made
            events.append(.make(made, name))
        }
        if let file = names[name] {
            let written = unsafe Array(bytes.prefix(limit ?? bytes.count))
            events.append(.write(file, offset: offset, bytes: written))
        }
        return limit
    }

    /// - Parameter code: the error it must fail with in any case.
    /// - Returns: the error it fails with.
    func sync(_ descriptor: Int32, _ code: Int32?) -> Int32? {
        guard let name = name(descriptor), code != EINTR else { return code }
        defer { syncCount += 1 }
        var code = code
        if case .sync(syncCount) = failure { code = EIO }
        if name == "" {
            if code == nil, syncFault != .leavesOutDirectories { events.append(.syncDirectory) }
        } else if let file = names[name] {
            let isLeftOut = syncFault == .leavesOutNewFiles && name.hasSuffix(".new")
            if code != nil {
                events.append(.failedSync(file))
            } else if !isLeftOut {
                events.append(.sync(file))
            }
        }
        return syncFault == .isRetried ? nil : code
    }

    func mayRename(_ name: String) -> Bool {
        if case .rename(name) = failure { false } else { true }
    }

    func mayRemove(_ name: String) -> Bool {
        if case .remove(name) = failure { false } else { true }
    }

    func renamed(_ old: String, _ new: String) {
        guard let file = names.removeValue(forKey: old) else { return }
        names[new] = file
        events.append(.rename(file, from: old, to: new))
    }

    func removed(_ name: String) {
        guard names.removeValue(forKey: name) != nil else { return }
        events.append(.remove(name))
    }
}
