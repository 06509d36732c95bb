// The directories batond works in: made, checked, locked. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Glibc

/// Why batond does not start; said to the operator.
package struct StartRefusal: Error, CustomStringConvertible {
    package var reason: String
    package init(_ reason: String) { self.reason = reason }
    package var description: String { reason }
}

package struct StateDirectory {
    let path: String
    let images: OpenFile
    private let lock: OpenFile

    private static let format = "baton-state 1\n"

    var imagesPath: String { "\(path)/images" }
    func mailboxPath(_ service: ServiceName) -> String { "\(path)/mailboxes/\(service)" }

    /// Takes the lock first; then nothing else of ours can be at work here.
    package init(_ path: String) throws(StartRefusal) {
        self.path = path
        try Self.make(path, mode: 0o700)
        do throws(SystemError) {
            lock = OpenFile(
                try .open("\(path)/lock", flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600))
        } catch { throw StartRefusal("\(error)") }
        guard flock(lock.number, LOCK_EX | LOCK_NB) == 0 else {
            throw StartRefusal(
                "another batond (process \(Self.text(of: lock) ?? "unknown")) uses \(path): stop it, or give "
                    + "this one another --state")
        }
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
        } catch { throw StartRefusal("\(error)") }
        // Its own name; a directory that may not be read is another's to look after.
        try? OpenFile.directory("\(path)/..").sync(data: false)
    }

    /// A mailbox that was made has its segments; an empty directory is a loss, not a beginning.
    func expectMailbox(_ service: ServiceName) throws(StoreError) {
        let path = mailboxPath(service)
        var status = stat()
        if unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
            throw .corrupt(place: path, reason: "it is not a directory (a link is not followed)")
        }
        guard unsafe access(path + ".made", F_OK) == 0 else { return }
        guard let names = try? DirectoryListing.names(path),
            names.contains(where: { $0.hasSuffix(".segment") })
        else { throw .corrupt(place: path, reason: "every segment is missing") }
    }

    /// The mailbox is durable: from here on it is expected.
    func noteMailbox(_ service: ServiceName) throws(StoreError) {
        let path = mailboxPath(service) + ".made"
        guard unsafe access(path, F_OK) != 0 else { return }
        do throws(SystemError) {
            _ = try Descriptor.open(path, flags: O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try OpenFile.directory("\(self.path)/mailboxes").sync(data: false)
        } catch { throw .system(error) }
    }

    // MARK: Removed services

    /// What is kept of a service that was removed, besides its mailbox.
    package struct Removed: Equatable {
        /// The images it may come back with; `nil`: not known, since its mailbox cannot be read.
        var images: [ImageDigest]?
        /// Messages that its mailbox keeps; `nil`: not known.
        var waiting: UInt64?
    }

    private func removalPath(_ service: ServiceName) -> String {
        mailboxPath(service) + ".removed"
    }

    /// From here on a boot does not start the service without its file. Durable when this returns.
    func noteRemoval(_ service: ServiceName, _ removed: Removed) throws(SystemError) {
        let head = "baton-removed 1" + (removed.waiting.map { " \($0)" } ?? "")
        let lines = [head] + (removed.images?.map(\.description) ?? ["unknown"])
        try Self.keep(
            lines.map { $0 + "\n" }.joined(), as: "\(service).removed",
            in: .directory("\(path)/mailboxes"))
    }

    /// The service is back. Durable when this returns.
    func forgetRemoval(_ service: ServiceName) throws(SystemError) {
        guard unsafe unlink(removalPath(service)) == 0 else {
            guard errno == ENOENT else { throw .last("remove \(removalPath(service))") }
            return
        }
        try OpenFile.directory("\(path)/mailboxes").sync(data: false)
    }

    /// The services that were removed and have not come back.
    package func removals() -> [ServiceName: Removed] {
        var found: [ServiceName: Removed] = [:]
        for name in (try? DirectoryListing.names("\(path)/mailboxes")) ?? [] {
            guard name.hasSuffix(".removed"), let service = ServiceName(name.dropLast(8)) else {
                continue
            }
            var bytes = [UInt8](repeating: 0, count: 1024)
            var got = 0
            if let file = try? OpenFile(.open(removalPath(service), flags: O_RDONLY | O_NOFOLLOW)) {
                got = unsafe pread(file.number, &bytes, bytes.count, 0)
            }
            let lines = String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
                .split(separator: "\n")
            let images = lines.dropFirst().map { ImageDigest(hex: $0) }
            found[service] = Removed(
                images: got > 0 && images.allSatisfy { $0 != nil }
                    ? images.compactMap(\.self) : nil,
                // Older Batons did not write it.
                waiting: lines.first?.split(separator: " ").dropFirst(2).first.flatMap {
                    UInt64($0)
                })
        }
        return found
    }

    private static func checkFormat(_ path: String) throws(StartRefusal) {
        var found: [String] = []
        do throws(SystemError) {
            let file = try OpenFile(.open("\(path)/format", flags: O_RDONLY | O_NOFOLLOW))
            found = Self.lines(of: file)
        } catch { guard error.code == ENOENT else { throw StartRefusal("\(error)") } }
        guard let first = found.first else {
            do throws(SystemError) { try keep(format, as: "format", in: .directory(path)) } catch {
                throw StartRefusal("\(error)")
            }
            return
        }
        // Features, one a line; those that are compatible do not matter to who does not know them.
        let unknown = first + "\n" != format ? first : found.dropFirst().first { !isCompatible($0) }
        if let unknown {
            throw StartRefusal(
                "\(path) has the format '\(unknown)', this batond knows 'baton-state 1': use the "
                    + "batond that wrote it. Nothing was changed")
        }
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

    /// Writes a small file, which has its name only once its bytes are durable. Durable itself when
    /// this returns.
    private static func keep(_ text: String, as name: String, in directory: OpenFile)
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
            throw StartRefusal("\(SystemError.last("make \(path)"))")
        }
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            throw StartRefusal("\(SystemError.last("look at \(path)"))")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw StartRefusal("\(path) is not a directory (a symbolic link is not followed)")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw StartRefusal("\(path) belongs to user \(status.st_uid), not to batond's")
        }
        guard status.st_mode & S_IWOTH == 0 else {
            throw StartRefusal("\(path) may be written by everybody: chmod o-w \(path)")
        }
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
        else { throw StartRefusal("\(SystemError.last("write the state directory's files"))") }
    }
}
