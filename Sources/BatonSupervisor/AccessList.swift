// Which users may talk to a service. Runs in batond.

import BatonCore
import BatonLinux
import CLinux
import Glibc
import Logging

/// Users and groups by number. Root and batond's own user may always.
package struct AccessList: Equatable, Sendable {
    package var users: Set<UInt32>
    package var groups: Set<UInt32>

    package init(users: Set<UInt32> = [], groups: Set<UInt32> = []) {
        self.users = users
        self.groups = groups
    }

    func admits(_ peer: UnixSocket.Peer, at socket: Int32) -> Bool {
        peer.uid == 0 || peer.uid == geteuid() || users.contains(peer.uid)
            || groups.contains(peer.gid)
            || groups.contains { baton_peer_in_group(socket, $0) != 0 }
    }

    /// The number of a user, by name or as it is.
    static func user(_ text: String) -> UInt32? {
        if let number = UInt32(text) { return number }
        guard let entry = unsafe getpwnam(text) else { return nil }
        return unsafe entry.pointee.pw_uid
    }

    /// The number of a group, by name or as it is.
    static func group(_ text: String) -> UInt32? {
        if let number = UInt32(text) { return number }
        guard let entry = unsafe getgrnam(text) else { return nil }
        return unsafe entry.pointee.gr_gid
    }
}

extension Service {
    func admits(_ peer: UnixSocket.Peer, at socket: Int32) -> Bool {
        settings.access?.admits(peer, at: socket) ?? true
    }

    func admits(_ connection: Connection) -> Bool {
        admits(connection.peer, at: connection.number)
    }
}

extension Supervisor {
    /// The mode of a service's socket. Where there is a list it alone says who is let in.
    func socketMode(of service: ServiceName) -> UInt32 {
        configuration.settings(of: service).access == nil ? 0o660 : 0o666
    }

    func changeSocketMode(of service: Service) {
        guard unsafe chmod(socketPath(of: service.name), socketMode(of: service.name)) != 0 else {
            return
        }
        service.log.error("its socket's mode: \(SystemError.last("change it"))")
    }

    /// Says who was refused, for whoever looks after the machine; not each time of a flood.
    func audit(_ peer: UnixSocket.Peer, refusedBy service: Service) {
        guard let count = counters.warns(of: .denied, at: now) else { return }
        let more = count > 1 ? "; \(count) refusals since the last such warning" : ""
        service.log.warning(
            "user \(peer.uid) (process \(peer.pid)) may not use it: refused\(more)",
            metadata: ["event": "audit"])
    }
}
