// What a thread does to the files of one directory: every write, sync, rename and removal, in order,
// and any of them made to fail. For what no real disk does when it is asked to: a power cut at each
// instant, a sync that fails.
//
// The test's program defines the C library's functions itself, so that BatonStore's calls come here
// first; those of every other thread go straight on.

import BatonLinux
import Glibc
import Synchronization

final class TracedDisk {
    /// A file, whatever its name is at the time.
    typealias File = Int

    enum Event: Equatable {
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
    }

    private(set) var events: [Event] = []
    private(set) var syncCount = 0
    private(set) var writeCount = 0
    /// Who has which name now.
    private(set) var names: [String: File] = [:]
    /// Who had which name when the trace began.
    let namesAtFirst: [String: File]
    var failure: Failure?

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
        let disk = Traced(disk: self)
        tracing.withLock { $0[thread] = disk }
        defer { tracing.withLock { $0[thread] = nil } }
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

    /// - Returns: how many of `bytes` may be written; `nil` for all of them.
    fileprivate func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int)
        -> Int?
    {
        guard let name = name(descriptor) else { return nil }
        defer { writeCount += 1 }
        var limit: Int?
        if case .write(writeCount) = failure { limit = bytes.count / 2 }
        if case .noRoom = failure, name.hasSuffix(".new") { limit = 0 }
        // Another file of this name: it was made anew.
        if lseek(descriptor, 0, SEEK_END) == 0 { names[name] = make() }
        if let file = names[name] {
            let written = unsafe Array(bytes.prefix(limit ?? bytes.count))
            events.append(.write(file, offset: offset, bytes: written))
        }
        return limit
    }

    /// - Returns: whether it may succeed.
    fileprivate func sync(_ descriptor: Int32) -> Bool {
        guard let name = name(descriptor) else { return true }
        defer { syncCount += 1 }
        var fails = false
        if case .sync(syncCount) = failure { fails = true }
        if name == "" {
            if !fails { events.append(.syncDirectory) }
        } else if let file = names[name] {
            events.append(fails ? .failedSync(file) : .sync(file))
        }
        return !fails
    }

    fileprivate func mayRename(_ name: String) -> Bool {
        if case .rename(name) = failure { false } else { true }
    }

    fileprivate func mayRemove(_ name: String) -> Bool {
        if case .remove(name) = failure { false } else { true }
    }

    fileprivate func renamed(_ old: String, _ new: String) {
        guard let file = names.removeValue(forKey: old) else { return }
        names[new] = file
        events.append(.rename(file, from: old, to: new))
    }

    fileprivate func removed(_ name: String) {
        guard names.removeValue(forKey: name) != nil else { return }
        events.append(.remove(name))
    }
}

// MARK: The C library's functions

/// A disk belongs to the thread that traces it.
private struct Traced: @unchecked Sendable {
    let disk: TracedDisk
}

private let tracing = Mutex<[pthread_t: Traced]>([:])

private func tracedDisk() -> TracedDisk? {
    tracing.withLock { $0.isEmpty ? nil : $0[pthread_self()]?.disk }
}

/// The C library's own.
private enum Real {
    typealias Write = @convention(c) (Int32, UnsafeRawPointer?, Int, Int) -> Int
    typealias Sync = @convention(c) (Int32) -> Int32
    typealias Rename =
        @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>) -> Int32
    typealias Unlink = @convention(c) (Int32, UnsafePointer<CChar>, Int32) -> Int32

    static func find<Function>(_ name: String, as: Function.Type) -> Function {
        // RTLD_NEXT: the one behind ours.
        guard let found = unsafe dlsym(UnsafeMutableRawPointer(bitPattern: -1), name) else {
            preconditionFailure("the C library has no \(name)")
        }
        return unsafe unsafeBitCast(found, to: Function.self)
    }

    static let write = unsafe find("pwrite", as: Write.self)
    static let fdatasync = find("fdatasync", as: Sync.self)
    static let fsync = find("fsync", as: Sync.self)
    static let renameat = unsafe find("renameat", as: Rename.self)
    static let unlinkat = unsafe find("unlinkat", as: Unlink.self)
}

@c(pwrite)
func tracedWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ offset: Int)
    -> Int
{
    if let disk = tracedDisk() {
        let buffer = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
        if let limit = unsafe disk.write(descriptor, buffer, at: offset) {
            _ = unsafe Real.write(descriptor, bytes, limit, offset)
            errno = limit > 0 ? EIO : ENOSPC
            return -1
        }
    }
    return unsafe Real.write(descriptor, bytes, count, offset)
}

@c(fdatasync)
func tracedDataSync(_ descriptor: Int32) -> Int32 {
    traced(descriptor) { Real.fdatasync(descriptor) }
}

@c(fsync)
func tracedSync(_ descriptor: Int32) -> Int32 {
    traced(descriptor) { Real.fsync(descriptor) }
}

private func traced(_ descriptor: Int32, _ sync: () -> Int32) -> Int32 {
    if let disk = tracedDisk(), !disk.sync(descriptor) {
        errno = EIO
        return -1
    }
    return sync()
}

@c(renameat)
func tracedRename(
    _ from: Int32, _ old: UnsafePointer<CChar>, _ to: Int32, _ new: UnsafePointer<CChar>
) -> Int32 {
    if let disk = tracedDisk(), unsafe !disk.mayRename(String(cString: old)) {
        errno = EIO
        return -1
    }
    let result = unsafe Real.renameat(from, old, to, new)
    if result == 0 { unsafe tracedDisk()?.renamed(String(cString: old), String(cString: new)) }
    return result
}

@c(unlinkat)
func tracedUnlink(_ directory: Int32, _ name: UnsafePointer<CChar>, _ flags: Int32) -> Int32 {
    if let disk = tracedDisk(), unsafe !disk.mayRemove(String(cString: name)) {
        errno = EIO
        return -1
    }
    let result = unsafe Real.unlinkat(directory, name, flags)
    if result == 0 { unsafe tracedDisk()?.removed(String(cString: name)) }
    return result
}
