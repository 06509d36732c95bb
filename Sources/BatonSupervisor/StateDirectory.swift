// The directories batond works in: made, checked, locked. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Glibc

/// Why batond does not start; said to the operator.
package struct StartRefusal: Error, CustomStringConvertible {
    package var reason: String
    /// Of the system call that was refused, if it was one.
    var code: Int32?

    /// The disk does not take what is written.
    package var isFailingDisk: Bool { code == EIO }

    package init(_ reason: String) { self.reason = reason }

    init(_ error: SystemError) {
        reason = "\(error)"
        code = error.code
    }

    package var description: String { reason }
}

package struct StateDirectory {
    package let path: String
    /// Itself; `nil` if not even that can be opened.
    let directory: OpenFile?
    /// `nil` if nothing may be written.
    let images: OpenFile?
    /// `nil` if nothing is written, and it could not be taken for that.
    private let lock: OpenFile?

    private static let format = "baton-state 1\n"

    var imagesPath: String { "\(path)/images" }
    func mailboxPath(_ service: ServiceName) -> String { "\(path)/mailboxes/\(service)" }

    /// For writing; or only to look at, if that is asked for, or the disk takes nothing.
    /// - Returns: also why it is only looked at.
    static func open(_ path: String, readOnly reason: String?) throws(StartRefusal)
        -> (StateDirectory, readOnly: String?)
    {
        if let reason { return (try StateDirectory(toLookAt: path), reason) }
        do throws(StartRefusal) {
            return (try StateDirectory(path), nil)
        } catch {
            guard error.code == EROFS else { throw error }
            return (try StateDirectory(toLookAt: path), "the disk takes nothing (\(error))")
        }
    }

    private init(toLookAt path: String) throws(StartRefusal) {
        self.path = path
        images = nil
        directory = try? .directory(path)
        lock = try? OpenFile(.open("\(path)/lock", flags: O_RDONLY | O_NOFOLLOW))
        if let lock { try Self.take(lock, of: path) }
    }

    private static func take(_ lock: OpenFile, of path: String) throws(StartRefusal) {
        guard flock(lock.number, LOCK_EX | LOCK_NB) == 0 else {
            throw StartRefusal(
                "another batond (process \(Self.text(of: lock) ?? "unknown")) uses \(path): stop it, "
                    + "or give this one another --state")
        }
    }

    /// The sockets of one batond are not to be taken over by another, with a state of its own.
    static func lock(runtime path: String) throws(StartRefusal) -> OpenFile {
        let directory: OpenFile
        do throws(SystemError) { directory = try .directory(path) } catch {
            throw StartRefusal(error)
        }
        guard flock(directory.number, LOCK_EX | LOCK_NB) == 0 else {
            throw StartRefusal(
                "another batond has its sockets in \(path): stop it, or give this one another "
                    + "--runtime")
        }
        return directory
    }

    /// Takes the lock first; then nothing else of ours can be at work here.
    package init(_ path: String) throws(StartRefusal) {
        self.path = path
        try Self.make(path, mode: 0o700)
        let lock: OpenFile
        do throws(SystemError) {
            directory = try .directory(path)
            lock = OpenFile(
                try .open("\(path)/lock", flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600))
        } catch { throw StartRefusal(error) }
        try Self.take(lock, of: path)
        self.lock = lock
        // Before anything is written.
        try Self.checkMailboxes(path)
        try Self.checkFormat(path)
        try Self.put("\(getpid())\n", into: lock)
        try Self.make("\(path)/mailboxes", mode: 0o700)
        try Self.make("\(path)/images", mode: 0o700)
        do throws(SystemError) {
            images = try .directory("\(path)/images")
            // What is below them counts for nothing without their names.
            try OpenFile.directory(path).sync(data: false)
        } catch { throw StartRefusal(error) }
        // Its own name; a directory that may not be read is another's to look after.
        try? OpenFile.directory("\(path)/..").sync(data: false)
    }

    /// A mailbox that was made has its segments; an empty directory is a loss, not a beginning.
    func expectMailbox(_ service: ServiceName) throws(StoreError) {
        try Self.expectMailbox(at: mailboxPath(service))
    }

    package static func expectMailbox(at path: String) throws(StoreError) {
        var status = stat()
        if unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
            throw .corrupt(place: path, reason: "it is not a directory (a link is not followed)")
        }
        guard wasMade(path) else { return }
        guard let names = try? DirectoryListing.names(path),
            names.contains(where: { $0.hasSuffix(".segment") })
        else { throw .corrupt(place: path, reason: "every segment is missing") }
    }

    /// Whether the mailbox at `path` was open once.
    package static func wasMade(_ path: String) -> Bool { unsafe access(path + ".made", F_OK) == 0 }

    /// The mailbox is durable: from here on it is expected.
    func noteMailbox(_ service: ServiceName) throws(StoreError) {
        let path = mailboxPath(service) + ".made"
        guard unsafe access(path, F_OK) != 0 else { return }
        do throws(SystemError) {
            _ = try Descriptor.open(path, flags: O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try OpenFile.directory("\(self.path)/mailboxes").sync(data: false)
        } catch { throw .system(error) }
    }

    private static func checkFormat(_ path: String) throws(StartRefusal) {
        var found: [String] = []
        do throws(SystemError) {
            let file = try OpenFile(.open("\(path)/format", flags: O_RDONLY | O_NOFOLLOW))
            found = Self.lines(of: file)
        } catch { guard error.code == ENOENT else { throw StartRefusal(error) } }
        guard let first = found.first else {
            do throws(SystemError) { try keep(format, as: "format", in: .directory(path)) } catch {
                throw StartRefusal(error)
            }
            return
        }
        if let fault = fault(ofFormat: found, first, path) {
            throw StartRefusal("\(fault). Nothing was changed")
        }
    }

    private static func fault(ofFormat found: [String], _ first: String, _ path: String)
        -> String?
    {
        // Features, one a line; those that are compatible do not matter to who does not know them.
        let unknown = first + "\n" != format ? first : found.dropFirst().first { !isCompatible($0) }
        return unknown.map {
            "\(path) has the format '\($0)', this batond knows 'baton-state 1': use the "
                + "batond that wrote it"
        }
    }

    /// What keeps batond from working in a directory of this format; nothing is changed.
    package static func formatFault(of path: String) -> String? {
        do throws(SystemError) {
            let file = try OpenFile(.open("\(path)/format", flags: O_RDONLY | O_NOFOLLOW))
            let found = lines(of: file)
            return found.first.flatMap { fault(ofFormat: found, $0, path) }
        } catch { return error.code == ENOENT ? nil : "\(error)" }
    }

    private static func isCompatible(_ line: String) -> Bool {
        line.hasPrefix("compatible ")
    }

    /// Whatever service a newer Baton has written for: nothing is begun beside it.
    private static func checkMailboxes(_ path: String) throws(StartRefusal) {
        let names = (try? DirectoryListing.names("\(path)/mailboxes")) ?? []
        for name in names.sorted() where ServiceName(name) != nil {
            do throws(StoreError) {
                try Recovery.checkFormat(path: "\(path)/mailboxes/\(name)")
            } catch { throw StartRefusal("\(error). Nothing was changed") }
        }
    }

    /// The process that has the lock of a state directory, told without taking it.
    package static func holder(of path: String) -> Int32? {
        do throws(SystemError) {
            let file = OpenFile(try .open("\(path)/lock", flags: O_RDONLY | O_NOFOLLOW))
            let supposed = text(of: file).flatMap { Int32($0) }
            return LockTable.holder(of: try file.descriptor.status(), supposed: supposed)
        } catch { return nil }
    }

    /// Writes a small file, which has its name only once its bytes are durable. Durable itself when
    /// this returns.
    static func keep(_ text: String, as name: String, in directory: OpenFile)
        throws(SystemError)
    {
        let file = OpenFile(
            try .open(
                name + ".new", in: directory.number,
                flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600))
        try file.write(Array(text.utf8), at: 0)
        try file.sync(data: false)
        try SegmentFile.rename(name + ".new", to: name, in: directory)
        try directory.sync(data: false)
    }

    /// Makes a directory, or checks one: ours, not a link, not for others to write.
    static func make(_ path: String, mode: UInt32) throws(StartRefusal) {
        var parent = ""
        for part in path.split(separator: "/").dropLast() {
            parent += "/" + part
            _ = unsafe mkdir(parent, 0o755)
        }
        if unsafe mkdir(path, mode) == 0 {
            // Whatever the umask.
            _ = unsafe chmod(path, mode)
        } else if errno != EEXIST {
            throw StartRefusal(SystemError.last("make \(path)"))
        }
        if let fault = fault(of: path) { throw StartRefusal(fault) }
    }

    /// What keeps batond from working in a directory that is there; nothing is changed.
    package static func fault(of path: String) -> String? {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            return "\(SystemError.last("look at \(path)"))"
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            return "\(path) is not a directory (a symbolic link is not followed)"
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            return "\(path) belongs to user \(status.st_uid), not to batond's"
        }
        guard status.st_mode & S_IWOTH == 0 else {
            return "\(path) may be written by everybody: chmod o-w \(path)"
        }
        return nil
    }

    private static func text(of file: OpenFile) -> String? {
        var bytes = [UInt8](repeating: 0, count: 64)
        let got = unsafe pread(file.number, &bytes, bytes.count, 0)
        guard got > 0 else { return nil }
        return String(decoding: bytes.prefix(got).prefix { $0 != 10 }, as: UTF8.self)
    }

    private static func lines(of file: OpenFile) -> [String] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let got = unsafe pread(file.number, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
            .split(separator: "\n").map(String.init)
    }

    private static func put(_ text: String, into file: OpenFile) throws(StartRefusal) {
        let bytes = Array(text.utf8)
        guard ftruncate(file.number, 0) == 0,
            unsafe pwrite(file.number, bytes, bytes.count, 0) == bytes.count
        else { throw StartRefusal(SystemError.last("write the state directory's files")) }
    }
}
