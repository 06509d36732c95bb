// The C library's functions, as the test's program defines them itself: what BatonStore calls on a thread
// that traces goes by its TracedDisk first; the calls of every other thread go straight on.

import Glibc
import Synchronization

enum TracedCalls {
    static func begin(_ disk: TracedDisk, on thread: pthread_t) {
        let traced = Traced(disk: disk)
        tracing.withLock { $0[thread] = traced }
    }
    static func end(on thread: pthread_t) { tracing.withLock { $0[thread] = nil } }
}

/// A disk belongs to the thread that traces it.
private struct Traced: @unchecked Sendable {
    let disk: TracedDisk
}

private let tracing = Mutex<[pthread_t: Traced]>([:])

private func tracedDisk() -> TracedDisk? {
    tracing.withLock { $0.isEmpty ? nil : $0[pthread_self()]?.disk }
}

/// Whether the call must fail; `errno` says why.
private func fails(_ call: TracedDisk.Call) -> Bool {
    guard let code = tracedDisk()?.enter(call) else { return false }
    errno = code
    return true
}

/// The C library's own.
private enum Real {
    typealias Name = UnsafePointer<CChar>
    typealias Open = @convention(c) (Int32, Name, Int32, UInt32) -> Int32
    typealias Read = @convention(c) (Int32, UnsafeMutableRawPointer?, Int, Int) -> Int
    typealias Write = @convention(c) (Int32, UnsafeRawPointer?, Int, Int) -> Int
    typealias Sync = @convention(c) (Int32) -> Int32
    typealias Rename = @convention(c) (Int32, Name, Int32, Name) -> Int32
    typealias Unlink = @convention(c) (Int32, Name, Int32) -> Int32
    typealias List = @convention(c) (Name) -> OpaquePointer?
    typealias NextName = @convention(c) (OpaquePointer?) -> UnsafeMutablePointer<dirent>?
    typealias Status = @convention(c) (Int32, UnsafeMutablePointer<stat>) -> Int32
    typealias MakeDirectory = @convention(c) (Name, mode_t) -> Int32

    static func find<Function>(_ name: String, as: Function.Type) -> Function {
        // RTLD_NEXT: the one behind ours.
        guard let found = unsafe dlsym(UnsafeMutableRawPointer(bitPattern: -1), name) else {
            preconditionFailure("the C library has no \(name)")
        }
        return unsafe unsafeBitCast(found, to: Function.self)
    }

    static let openat = unsafe find("openat", as: Open.self)
    static let read = unsafe find("pread", as: Read.self)
    static let write = unsafe find("pwrite", as: Write.self)
    static let fdatasync = find("fdatasync", as: Sync.self)
    static let fsync = find("fsync", as: Sync.self)
    static let renameat = unsafe find("renameat", as: Rename.self)
    static let unlinkat = unsafe find("unlinkat", as: Unlink.self)
    static let opendir = unsafe find("opendir", as: List.self)
    static let readdir = unsafe find("readdir", as: NextName.self)
    static let fstat = unsafe find("fstat", as: Status.self)
    static let mkdir = unsafe find("mkdir", as: MakeDirectory.self)
}

// In C it takes its mode only if it makes a file; it is passed alike in either case.
@c(openat)
func tracedOpen(_ directory: Int32, _ name: UnsafePointer<CChar>, _ flags: Int32, _ mode: UInt32)
    -> Int32
{
    if fails(flags & O_CREAT == 0 ? .open : .create) { return -1 }
    return unsafe Real.openat(directory, name, flags, mode)
}

@c(pread)
func tracedRead(
    _ descriptor: Int32, _ bytes: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int
) -> Int {
    if fails(.read) { return -1 }
    return unsafe Real.read(descriptor, bytes, tracedDisk()?.share(of: count) ?? count, offset)
}

@c(pwrite)
func tracedWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ offset: Int)
    -> Int
{
    guard let disk = tracedDisk() else {
        return unsafe Real.write(descriptor, bytes, count, offset)
    }
    if fails(.write) { return -1 }
    let count = disk.share(of: count)
    let buffer = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
    if let limit = unsafe disk.write(descriptor, buffer, at: offset) {
        _ = unsafe Real.write(descriptor, bytes, limit, offset)
        errno = limit > 0 ? EIO : ENOSPC
        return -1
    }
    return unsafe Real.write(descriptor, bytes, count, offset)
}

@c(fdatasync)
func tracedDataSync(_ descriptor: Int32) -> Int32 {
    traced(.syncData, descriptor) { Real.fdatasync(descriptor) }
}

@c(fsync)
func tracedSync(_ descriptor: Int32) -> Int32 {
    traced(.sync, descriptor) { Real.fsync(descriptor) }
}

private func traced(_ call: TracedDisk.Call, _ descriptor: Int32, _ sync: () -> Int32) -> Int32 {
    if let disk = tracedDisk(), let code = disk.sync(descriptor, disk.enter(call)) {
        errno = code
        return -1
    }
    return sync()
}

@c(renameat)
func tracedRename(
    _ from: Int32, _ old: UnsafePointer<CChar>, _ to: Int32, _ new: UnsafePointer<CChar>
) -> Int32 {
    if fails(.rename) { return -1 }
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
    if fails(.remove) { return -1 }
    if let disk = tracedDisk(), unsafe !disk.mayRemove(String(cString: name)) {
        errno = EIO
        return -1
    }
    let result = unsafe Real.unlinkat(directory, name, flags)
    if result == 0 { unsafe tracedDisk()?.removed(String(cString: name)) }
    return result
}

@c(opendir)
func tracedList(_ path: UnsafePointer<CChar>) -> OpaquePointer? {
    if fails(.list) { return nil }
    return unsafe Real.opendir(path)
}

@c(readdir)
func tracedNextName(_ directory: OpaquePointer?) -> UnsafeMutablePointer<dirent>? {
    if fails(.nextName) { return nil }
    return unsafe Real.readdir(directory)
}

@c(fstat)
func tracedStatus(_ descriptor: Int32, _ result: UnsafeMutablePointer<stat>) -> Int32 {
    if fails(.status) { return -1 }
    return unsafe Real.fstat(descriptor, result)
}

@c(mkdir)
func tracedMakeDirectory(_ path: UnsafePointer<CChar>, _ mode: mode_t) -> Int32 {
    if fails(.makeDirectory) { return -1 }
    return unsafe Real.mkdir(path, mode)
}
