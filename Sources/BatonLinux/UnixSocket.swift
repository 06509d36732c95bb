// Unix sockets: bind and listen, accept, connect, and who the peer is.

import CLinux
import Glibc

package enum UnixSocket {
    /// Who is at the other end.
    package struct Peer: Equatable, Sendable {
        package var pid: Int32
        package var uid: UInt32
        package var gid: UInt32
    }

    /// Listens at `path`. A socket file that is there, from a daemon that was killed, is replaced in
    /// one step; so hold the state directory's lock.
    package static func listen(path: String, mode: UInt32, backlog: Int32 = 4096)
        throws(SystemError) -> Descriptor
    {
        let made = try Descriptor(
            "make a socket",
            socket(
                AF_UNIX,
                Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
                    | Int32(SOCK_NONBLOCK.rawValue), 0))
        let temporary = path + temporarySuffix
        _ = unsafe unlink(temporary)
        var address = try Self.address(temporary)
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(made.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0 else { throw .last("bind \(path)") }
        // Nobody can connect before listen, so the mode is in force before the first client.
        guard unsafe chmod(temporary, mode) == 0 else { throw .last("set the mode of \(path)") }
        guard Glibc.listen(made.number, backlog) == 0 else { throw .last("listen at \(path)") }
        guard unsafe rename(temporary, path) == 0 else { throw .last("put \(path) in place") }
        return made
    }

    /// `nil` when nobody waits.
    package static func accept(_ listener: Int32) throws(SystemError) -> Descriptor? {
        let number = baton_accept(listener)
        if number < 0, errno == EAGAIN || errno == ECONNABORTED { return nil }
        return try Descriptor("accept a connection", number)
    }

    /// A blocking connection to `path`.
    package static func connect(path: String) throws(SystemError) -> Descriptor {
        let made = try Descriptor(
            "make a socket",
            socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        var address = try Self.address(path)
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(made.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else { throw .last("connect to \(path)") }
        return made
    }

    package struct Pair: ~Copyable {
        private var ours: Descriptor?
        private var theirs: Descriptor?

        fileprivate init(ours: consuming Descriptor, theirs: consuming Descriptor) {
            self.ours = consume ours
            self.theirs = consume theirs
        }

        /// The non-blocking end.
        package mutating func takeOurs() -> Descriptor {
            guard let taken = ours.take() else { preconditionFailure("taken twice") }
            return taken
        }
        package mutating func takeTheirs() -> Descriptor {
            guard let taken = theirs.take() else { preconditionFailure("taken twice") }
            return taken
        }
    }

    /// Two connected ends that keep the bounds of messages.
    package static func pair() throws(SystemError) -> Pair {
        var ends: [Int32] = [-1, -1]
        let made = unsafe ends.withUnsafeMutableBufferPointer { buffer in
            unsafe socketpair(
                AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0,
                buffer.baseAddress)
        }
        guard made == 0 else { throw .last("make a socket pair") }
        let ours = Descriptor(owning: ends[0])
        try ours.setNonBlocking()
        return Pair(ours: ours, theirs: Descriptor(owning: ends[1]))
    }

    package static func peer(of socket: Int32) throws(SystemError) -> Peer {
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        guard unsafe baton_peer_credentials(socket, &pid, &uid, &gid) == 0 else {
            throw .last("read the peer's credentials")
        }
        return Peer(pid: pid, uid: uid, gid: gid)
    }

    /// A socket's path may have so many: its temporary name must fit too.
    package static var pathBytes: Int {
        MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1 - temporarySuffix.utf8.count
    }
    private static let temporarySuffix = ".new"

    private static func address(_ path: String) throws(SystemError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let most = MemoryLayout.size(ofValue: address.sun_path) - 1
        guard bytes.count <= most else {
            throw SystemError(
                "use \(path) as a socket (at most \(most) bytes)", code: ENAMETOOLONG)
        }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        return address
    }
}
