// The markers of services that were removed: STATE/mailboxes/NAME.removed. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Glibc

extension StateDirectory {
    /// What is kept of a service that was removed, besides its mailbox.
    package struct Removed: Equatable {
        /// The images it may come back with; `nil`: not known, since its mailbox cannot be read.
        package var images: [ImageDigest]?
        /// Messages that its mailbox keeps; `nil`: not known.
        package var waiting: UInt64?
        /// Whether the marker reads as it was written.
        package var isValid = true
    }

    private static let firstLine = "baton-removed 1"
    private static let unknown = "unknown"

    private func removalPath(_ service: ServiceName) -> String {
        mailboxPath(service) + ".removed"
    }

    /// From here on a boot does not start the service without its file. Durable when this returns.
    func noteRemoval(_ service: ServiceName, _ removed: Removed) throws(SystemError) {
        let head = Self.firstLine + (removed.waiting.map { " \($0)" } ?? "")
        let lines = [head] + (removed.images?.map(\.description) ?? [Self.unknown])
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
    package func removals() -> [ServiceName: Removed] { Self.removals(below: path) }

    package static func removals(below path: String) -> [ServiceName: Removed] {
        var found: [ServiceName: Removed] = [:]
        for name in (try? DirectoryListing.names("\(path)/mailboxes")) ?? [] {
            guard name.hasSuffix(".removed"), let service = ServiceName(name.dropLast(8)) else {
                continue
            }
            found[service] = removal("\(path)/mailboxes/\(name)")
        }
        return found
    }

    /// A marker that cannot be read is one nevertheless: its images are not known.
    private static func removal(_ path: String) -> Removed {
        var bytes = [UInt8](repeating: 0, count: 1024)
        var got = 0
        if let file = try? OpenFile(.open(path, flags: O_RDONLY | O_NOFOLLOW)) {
            got = unsafe pread(file.number, &bytes, bytes.count, 0)
        }
        let lines = String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
            .split(separator: "\n")
        guard let head = lines.first, head == firstLine || head.hasPrefix(firstLine + " ") else {
            return Removed(images: nil, isValid: false)
        }
        // Older Batons did not write it.
        let waiting = UInt64(head.dropFirst(firstLine.count + 1))
        guard waiting != nil || head == firstLine else {
            return Removed(images: nil, isValid: false)
        }
        if lines.dropFirst().map(String.init) == [unknown] {
            return Removed(images: nil, waiting: waiting)
        }
        let images = lines.dropFirst().map { ImageDigest(hex: $0) }
        guard images.allSatisfy({ $0 != nil }) else { return Removed(images: nil, isValid: false) }
        return Removed(images: images.compactMap(\.self), waiting: waiting)
    }
}
