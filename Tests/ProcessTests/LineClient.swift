// One client of a line socket, that takes a step at a time: sends, waits for a line, ends its input.

import BatonLinux
import Glibc

/// Safe to share between one who sends and one who reads: only reading touches the buffer.
final class LineClient: @unchecked Sendable {
    private let socket: Descriptor
    private var buffer: [UInt8] = []

    init(path: String) throws {
        socket = try UnixSocket.connect(path: path)
        try socket.setNonBlocking()
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.send(
                    socket.number, bytes.baseAddress?.advanced(by: sent), bytes.count - sent,
                    CInt(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                try wait(for: POLLOUT, what: "room to send")
            } else if errno != EINTR {
                throw SystemError.last("send to the daemon")
            }
        }
    }

    /// Ends this side; replies still come.
    func endInput() { _ = shutdown(socket.number, CInt(SHUT_WR)) }

    /// The next line without its newline; nil at the end of the connection.
    func line(within bound: Duration = .patience) throws -> String? {
        while true {
            if let newline = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                defer { buffer.removeFirst(newline + 1) }
                return String(decoding: buffer[..<newline], as: UTF8.self)
            }
            guard try receive(within: bound) else {
                guard buffer.isEmpty else { throw Failure("half a reply, then the end") }
                return nil
            }
        }
    }

    func lines(_ count: Int) throws -> [String] {
        try (0..<count).map { index in
            guard let line = try line() else { throw Failure("the end after \(index) replies") }
            return line
        }
    }

    /// Every byte until the daemon closes the connection.
    func rest() throws -> [UInt8] {
        while try receive(within: .patience) {}
        defer { buffer = [] }
        return buffer
    }

    /// The lines until the daemon closes the connection.
    func remainingLines() throws -> [String] {
        // By bytes: a carriage return and a newline are one character of a String.
        try rest().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .dropLast().map { String(decoding: $0, as: UTF8.self) }
    }

    /// Sends a line and waits for its reply.
    func ask(_ message: String) throws -> String {
        try send(message + "\n")
        guard let reply = try line() else { throw Failure("the end instead of a reply") }
        return reply
    }

    /// False at the end of the connection.
    private func receive(within bound: Duration) throws -> Bool {
        while true {
            var count = 0
            buffer.append(addingCapacity: 64 << 10) { room in
                unsafe room.withUnsafeMutableBufferPointer { bytes, initialized in
                    count = unsafe recv(
                        socket.number, bytes.baseAddress?.advanced(by: initialized),
                        bytes.count - initialized, 0)
                    initialized += max(0, count)
                }
            }
            if count >= 0 { return count > 0 }
            switch errno {
            case EAGAIN: try wait(for: POLLIN, what: "reply", within: bound)
            case EINTR: break
            case ECONNRESET: return false
            default: throw SystemError.last("receive from the daemon")
            }
        }
    }

    private func wait(for event: CInt, what: String, within bound: Duration = .patience) throws {
        var entry = pollfd(fd: socket.number, events: Int16(event), revents: 0)
        let ready = retryInterrupted { unsafe Int(poll(&entry, 1, bound.milliseconds)) }
        guard ready > 0 else { throw TimedOut(what: what, bound: bound) }
    }
}
