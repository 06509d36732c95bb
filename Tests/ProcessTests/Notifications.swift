// What a daemon tells its service manager: a NOTIFY_SOCKET of the test's own, read all the time by a
// thread, since a daemon would wait at a full one.

import BatonLinux
import CLinux
import Foundation
import Glibc

/// Safe to share: `texts` is touched under the lock of `arrival` only.
final class Notifications: @unchecked Sendable {
    let path: String
    private let arrival = NSCondition()
    private var texts: [String] = []

    private static let farewell = "FAREWELL=1"

    init(path: String) throws {
        self.path = path
        let socket = try Descriptor(
            "make a socket",
            Glibc.socket(
                AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        let bound = try unsafe withSocketAddress(path) { unsafe bind(socket.number, $0, $1) }
        guard bound == 0 else { throw SystemError.last("bind \(path)") }
        let number = socket.release()
        let thread = Thread { [self] in receive(on: number) }
        thread.start()
    }

    /// Waits until everything that was said before has been heard.
    func catchUp() {
        let first = count
        let mark = "MARK=\(first)"
        say(mark)
        _ = wait(for: mark, from: first, within: .patience)
    }

    /// Ends the thread.
    func close() { say(Self.farewell) }

    private func say(_ text: String) {
        let socket = Glibc.socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { _ = Glibc.close(socket) }
        _ = try? unsafe withSocketAddress(path) { address, size in
            unsafe sendto(socket, text, text.utf8.count, 0, address, size)
        }
    }

    private func receive(on socket: Int32) {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let capacity = buffer.count
            let count = unsafe recv(socket, &buffer, capacity, 0)
            let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
            if count < 0 && errno != EINTR || text == Self.farewell { break }
            arrival.withLock {
                texts.append(text)
                arrival.broadcast()
            }
        }
        _ = Glibc.close(socket)
    }

    /// All so far, oldest first; each is lines of `NAME=value`.
    /// A copy of its own: a sanitizer sees no reference counts.
    var all: [String] { arrival.withLock { texts.map(\.self) } }

    /// The number of them so far: where a later `wait` is to begin.
    var count: Int { arrival.withLock { texts.count } }

    /// Waits for one, from number `start` on, with the line `line`.
    /// - Returns: its number plus one, or nil if there is none after `bound`.
    func wait(for line: String, from start: Int, within bound: Duration) -> Int? {
        let end = Date(timeIntervalSinceNow: Double(bound.milliseconds) / 1000)
        return arrival.withLock {
            while true {
                let found = texts.indices.dropFirst(start).first { index in
                    texts[index].split(separator: "\n").contains { $0 == line }
                }
                if let found { return found + 1 }
                if !arrival.wait(until: end) { return nil }
            }
        }
    }
}

/// Gives `body` the address of a Unix socket at `path`.
func withSocketAddress<Result>(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
) throws -> Result {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
        throw SystemError("use \(path) as a socket", code: ENAMETOOLONG)
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    return try unsafe withUnsafePointer(to: &address) { pointer in
        try unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            try unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}
