// Clients come: who is let in, who is refused and told why, who goes. ClientsReading.swift and
// ClientsSending.swift have what is said in between. Runs in batond.

import BatonCore
import BatonLinux
import CLinux
import Glibc
import Logging

extension Supervisor {
    func listen(_ kind: Listener.Kind, at path: String, mode: UInt32) throws(SystemError) {
        let listener = try Listener(kind, path: path, mode: mode)
        listener.token = try watch(listener.socket.number, .listener(listener))
        listeners.append(listener)
    }

    /// At a service's socket.
    func listen(_ kind: Listener.Kind, for service: ServiceName) throws(SystemError) {
        try listen(kind, at: socketPath(of: service), mode: socketMode(of: service))
    }

    func accept(_ listener: Listener) {
        // Bounded, so that a flood of connections does not keep the loop from messages.
        for _ in 0..<64 {
            do throws(SystemError) {
                guard let socket = try UnixSocket.accept(listener.socket.number) else { return }
                try welcome(socket, at: listener)
            } catch {
                guard error.code == EMFILE || error.code == ENFILE else {
                    logger.warning("a client could not be taken: \(error)")
                    return
                }
                turnAway(listener)
                return
            }
        }
    }

    private func welcome(_ socket: consuming Descriptor, at listener: Listener)
        throws(SystemError)
    {
        let peer = try UnixSocket.peer(of: socket.number)
        let wire: Connection.Wire
        switch listener.kind {
        case .outage(let outage):
            return say("\(outage.code) \(outage.reason)", to: socket.number, at: listener)
        case .service(let service):
            guard service.admits(peer, at: socket.number) else {
                audit(peer, refusedBy: service)
                return say(
                    "DENIED user \(peer.uid) may not use \(service.name): see allow_users in its "
                        + "configuration", to: socket.number, at: listener)
            }
            wire = .lines(service)
        case .baton: wire = .resp(mayChange: false)
        case .control:
            guard
                peer.uid == geteuid() || peer.uid == 0
                    || baton_peer_in_group(socket.number, getegid()) != 0
            else {
                counters.note(.denied)
                logger.warning(
                    "control refused to user \(peer.uid)", metadata: ["event": "audit"])
                return say(
                    "DENIED only batond's user, its group and root may use this socket",
                    to: socket.number, at: listener)
            }
            wire = .resp(mayChange: true)
        }
        if let (reason, text) = refusal(of: peer, wire) {
            warn(of: reason, text)
            return say("BUSY \(text): try again later", to: socket.number, at: listener)
        }
        let token = reserveToken()
        let connection = Connection(
            socket, wire: wire, peer: peer, token: token, limits: configuration.limits)
        try watch(connection.number, .connection(connection), token: token)
        connections[ObjectIdentifier(connection)] = connection
        connectionsOfUser[peer.uid, default: 0] += 1
        counters.accept()
        if case .service(let service) = listener.kind { service.connectionCount += 1 }
    }

    // MARK: Places

    /// Clients that there may be: they do not take the descriptors that services need.
    var places: Int {
        let ofServices =
            FixedLimits.descriptorsKept + FixedLimits.descriptorsPerService * services.count
        return min(configuration.limits.connections, descriptorLimit - ofServices)
    }

    /// Why there is no place. Clients do not take the operator's, whoever they are.
    private func refusal(of peer: UnixSocket.Peer, _ wire: Connection.Wire)
        -> (ClientCounters.Reason, String)?
    {
        if case .resp(mayChange: true) = wire {
            guard connections.count >= places + FixedLimits.controlConnections else { return nil }
            return (.busy, "\(connections.count) clients are connected")
        }
        guard connections.count < places else {
            return (
                .busy, "\(connections.count) clients are connected, of at most \(max(0, places))"
            )
        }
        let most = configuration.limits.connectionsOfOneUser
        guard connectionsOfUser[peer.uid, default: 0] < most else {
            return (
                .busyForUser,
                "user \(peer.uid) has \(most) clients connected, as many as one user may"
            )
        }
        return nil
    }

    /// Said at the start: the limit of descriptors may be lower than what is configured.
    func checkPlaces() {
        let wanted = configuration.limits.connections
        guard places < wanted else { return }
        logger.warning(
            """
            there are descriptors for \(max(0, places)) clients only, not for \(wanted): raise \
            LimitNOFILE= to \(descriptorLimit + wanted - places)
            """)
    }

    /// Warns now and then: a flood of clients is no flood of warnings.
    func warn(of reason: ClientCounters.Reason, _ text: String) {
        guard let count = counters.warns(of: reason, at: now) else { return }
        let more = count > 1 ? "; \(count) times since the last such warning" : ""
        logger.warning("\(text)\(more)", metadata: ["event": "\(reason.name)"])
    }

    // MARK: Refusing

    /// Descriptors have run out: the reserve takes the client, so that it is told.
    private func turnAway(_ listener: Listener) {
        warn(of: .noDescriptor, "no descriptor is left for a client: raise LimitNOFILE=")
        reserve = nil
        if let socket = try? UnixSocket.accept(listener.socket.number) {
            say(
                "BUSY no descriptor is left for a client: try again later", to: socket.number,
                at: listener)
        }
        reserve = try? .open("/dev/null", flags: O_RDONLY)
        guard reserve == nil else { return }
        // Another thread was faster. A listener that cannot be served must not spin.
        change(listener.socket.number, [], token: listener.token)
        _ = after(FixedLimits.descriptorPause) { [weak self, weak listener] in
            guard let self, let listener, self.listeners.contains(where: { $0 === listener })
            else { return }
            if self.reserve == nil { self.reserve = try? .open("/dev/null", flags: O_RDONLY) }
            self.change(listener.socket.number, .readable, token: listener.token)
        }
    }

    private func say(_ error: String, to socket: Int32, at listener: Listener) {
        let end =
            switch listener.kind {
            case .service, .outage: "\n"
            case .baton, .control: "\r\n"
            }
        let text = "-\(error)\(end)"
        _ = unsafe Glibc.send(socket, text, text.utf8.count, Int32(MSG_NOSIGNAL))
    }

    // MARK: Going

    func close(_ connection: Connection) {
        guard connection.state != .closed else { return }
        connection.state = .closed
        if !connection.hasGone { stopWatching(connection.number, token: connection.token) }
        connections[ObjectIdentifier(connection)] = nil
        let others = connectionsOfUser[connection.peer.uid, default: 1] - 1
        connectionsOfUser[connection.peer.uid] = others > 0 ? others : nil
        endSubscription(connection)
        connection.letGo()
        account(connection)
        if case .lines(let service) = connection.wire {
            service.connectionCount -= 1
            if connection.isWaitingForRoom { service.heldUp.removeAll { $0 === connection } }
        }
    }

    /// The memory that the connection takes now.
    @inline(__always)
    func account(_ connection: Connection) {
        let bytes = connection.byteCount
        guard bytes != connection.charged else { return }
        memory.charge(bytes - connection.charged)
        connection.charged = bytes
    }
}
