// ClientSocket: the client's end of a Unix stream socket. Runs in baton and in tests.

import BatonLinux
import Glibc

/// A connected socket. Every wait ends at a deadline; a peer that has gone raises no signal.
struct ClientSocket: ~Copyable {
    private let descriptor: Descriptor

    init(path: String, deadline: Deadline) throws(ClientError) {
        descriptor = try Self.connect(path: path, deadline: deadline)
    }

    /// Sends all of `bytes`. False if the peer has closed its end before: it may have said why.
    func send(_ bytes: [UInt8], deadline: Deadline) throws(ClientError) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.send(
                    descriptor.number, bytes.baseAddress?.advanced(by: sent), bytes.count - sent,
                    CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count >= 0 {
                sent += count
                continue
            }
            switch errno {
            case EAGAIN: try wait(for: POLLOUT, deadline: deadline)
            case EINTR: break
            case EPIPE, ECONNRESET: return false
            default: throw .system(.last("send to the daemon"))
            }
        }
        return true
    }

    /// Appends what has come to `buffer`, at least one byte; false at the peer's end of file.
    func receive(into buffer: inout [UInt8], deadline: Deadline) throws(ClientError) -> Bool {
        while true {
            var failure: CInt = 0
            let before = buffer.count
            buffer.append(addingCapacity: 64 << 10) { room in
                unsafe room.withUnsafeMutableBufferPointer { bytes, initialized in
                    let count = unsafe recv(
                        descriptor.number, bytes.baseAddress?.advanced(by: initialized),
                        bytes.count - initialized, CInt(MSG_DONTWAIT))
                    if count < 0 { failure = errno } else { initialized += count }
                }
            }
            switch failure {
            case 0: return buffer.count > before
            case EAGAIN: try wait(for: POLLIN, deadline: deadline)
            case EINTR: break
            case ECONNRESET: return false
            default: throw .system(SystemError("receive from the daemon", code: failure))
            }
        }
    }

    private func wait(for event: CInt, deadline: Deadline) throws(ClientError) {
        var entry = pollfd(fd: descriptor.number, events: Int16(event), revents: 0)
        let ready = unsafe poll(&entry, 1, deadline.milliseconds)
        if ready == 0 { throw .timedOut(after: deadline.patience) }
        if ready < 0 && errno != EINTR { throw .system(.last("wait for the daemon")) }
    }

    private static func connect(
        path: String, deadline: Deadline
    ) throws(ClientError) -> Descriptor {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // One byte is for the NUL at the end.
        let limit = MemoryLayout.size(ofValue: address.sun_path) - 1
        guard path.utf8.count <= limit else { throw .pathTooLong(path: path, limit: limit) }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { room in
            unsafe room.copyBytes(from: path.utf8)
        }

        let number = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw .system(.last("make a socket")) }
        let descriptor = Descriptor(owning: number)

        // connect waits while the daemon's backlog is full, for as long as a send may take.
        let milliseconds = max(1, Int(deadline.milliseconds))
        var patience = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        let size = socklen_t(MemoryLayout<timeval>.size)
        guard unsafe setsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &patience, size) == 0 else {
            throw .system(.last("bound the time to connect"))
        }
        let connected = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else {
            switch errno {
            case ENOENT, ECONNREFUSED, ENOTDIR: throw .noDaemon(path: path)
            case EACCES, EPERM: throw .notAllowed(path: path)
            case EAGAIN: throw .timedOut(after: deadline.patience)
            default: throw .system(.last("connect to \(path)"))
            }
        }
        return descriptor
    }
}
