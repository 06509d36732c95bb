// The clients' side of the loop: who is let in, what is read, what is sent. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire
import CLinux
import Glibc
import Logging

extension Supervisor {
    // MARK: Coming

    func listen(_ kind: Listener.Kind, at path: String, mode: UInt32) throws(SystemError) {
        let listener = try Listener(kind, path: path, mode: mode)
        listener.token = try watch(listener.socket.number, .listener(listener))
        listeners.append(listener)
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

    /// Descriptors have run out: the reserve takes the client, so that it sees an end.
    private func turnAway(_ listener: Listener) {
        logger.warning("no descriptor is left for a client: raise LimitNOFILE=")
        reserve = nil
        if let socket = try? UnixSocket.accept(listener.socket.number) { _ = consume socket }
        reserve = try? .open("/dev/null", flags: O_RDONLY)
    }

    private func welcome(_ socket: consuming Descriptor, at listener: Listener)
        throws(SystemError)
    {
        let peer = try UnixSocket.peer(of: socket.number)
        let wire: Connection.Wire
        switch listener.kind {
        case .outage(let outage):
            return say("-\(outage.code) \(outage.reason)\n", to: socket.number)
        case .service(let service): wire = .lines(service)
        case .baton: wire = .resp(mayChange: false)
        case .control:
            guard
                peer.uid == geteuid() || peer.uid == 0
                    || baton_peer_in_group(socket.number, getegid()) != 0
            else {
                logger.warning(
                    "control refused to user \(peer.uid)", metadata: ["event": "audit"])
                return say(
                    "-DENIED only batond's user, its group and root may use this socket\r\n",
                    to: socket.number)
            }
            wire = .resp(mayChange: true)
        }
        guard connections.count < connectionLimit(for: wire) else {
            let text = "-BUSY \(connections.count) clients are connected: try again later"
            if case .lines = wire {
                say(text + "\n", to: socket.number)
            } else {
                say(text + "\r\n", to: socket.number)
            }
            return
        }
        let token = reserveToken()
        let connection = Connection(
            socket, wire: wire, peer: peer, token: token, limits: configuration.limits)
        try watch(connection.number, .connection(connection), token: token)
        connections[ObjectIdentifier(connection)] = connection
        if case .service(let service) = listener.kind { service.connectionCount += 1 }
    }

    /// Clients take neither the operator's place nor the descriptors that services need.
    private func connectionLimit(for wire: Connection.Wire) -> Int {
        let ofServices =
            FixedLimits.descriptorsKept + FixedLimits.descriptorsPerService * services.count
        let limit = min(configuration.limits.connections, descriptorLimit - ofServices)
        if case .resp(mayChange: true) = wire { return limit + FixedLimits.controlConnections }
        return limit
    }

    private func say(_ text: String, to socket: Int32) {
        _ = unsafe Glibc.send(socket, text, text.utf8.count, Int32(MSG_NOSIGNAL))
    }

    // MARK: Reading

    func ready(_ connection: Connection, _ interest: EventLoop.Interest) {
        if interest.contains(.writable) { flush(connection) }
        if interest.contains(.readable) {
            read(connection)
        } else if !interest.intersection(.hungUp).isEmpty, !interest.contains(.writable) {
            close(connection)
        }
    }

    private func read(_ connection: Connection) {
        guard connection.state == .open, !connection.isHeldBack else { return }
        let kept = carryOver(connection)
        let room = min(FixedLimits.readBytes, unsafe scratch.count - kept)
        let got = unsafe connection.read(
            into: UnsafeMutableRawBufferPointer(rebasing: scratch[kept..<kept + room]))
        guard let got else {
            keep(connection, 0..<kept)
            return
        }
        if got == 0 {
            inputEnded(connection, left: kept)
            return
        }
        parse(connection, count: kept + got)
    }

    /// Back-pressure may have eased: at the end of this turn the client is read further. Not now:
    /// somebody else's input may be being executed, and the scratch buffer holds one.
    func resumes(_ connection: Connection) {
        guard !connection.isToFlush else { return }
        connection.isToFlush = true
        toFlush.append(connection)
    }

    /// Goes on with what was read before, if back-pressure has eased.
    private func resume(_ connection: Connection) {
        guard connection.state == .open else { return }
        if connection.isHeldBack, mayRead(connection) {
            parse(connection, count: carryOver(connection))
        } else {
            watchAgain(connection)
        }
    }

    /// Copies the unfinished input to the front of the scratch buffer.
    private func carryOver(_ connection: Connection) -> Int {
        precondition(!isParsing, "input was read while another client's was being executed")
        let count = connection.carry.count
        guard count > 0 else { return 0 }
        unsafe connection.carry.withUnsafeBytes { unsafe scratch.copyMemory(from: $0) }
        connection.carry.removeAll(keepingCapacity: true)
        return count
    }

    private func keep(_ connection: Connection, _ range: Range<Int>) {
        if range.isEmpty {
            connection.carry = []
        } else {
            connection.carry = unsafe Array(scratch[range])
        }
    }

    /// Takes the messages in the first `count` bytes of the scratch buffer.
    private func parse(_ connection: Connection, count: Int) {
        isParsing = true
        defer { isParsing = false }
        var consumed = 0
        switch connection.wire {
        case .lines(let service):
            let input = unsafe UnsafeRawBufferPointer(rebasing: scratch[..<count])
            switch unsafe service.absorb(lines: input, from: connection, consumed: &consumed) {
            case .all: connection.isHeldBack = false
            case .enough: connection.isHeldBack = true
            case .tooBig:
                refuse(
                    connection, "TOOBIG",
                    "a message has at most \(configuration.limits.messageBytes) bytes: send less, "
                        + "or raise the limit")
            case .readOnly(let reason): refuse(connection, "READONLY", reason)
            }
        case .resp(let mayChange):
            connection.isHeldBack = unsafe !execute(
                UnsafeMutableRawBufferPointer(rebasing: scratch[..<count]), of: connection,
                mayChange: mayChange, consumed: &consumed)
        }
        keep(connection, consumed..<count)
        watchAgain(connection)
    }

    /// Answers the last thing read with an error, and reads no more.
    func refuse(_ connection: Connection, _ code: String, _ text: String) {
        connection.replyError(connection.takeSlots(1), code, text)
        connection.carry = []
        // Earlier messages' replies still go out, and then the connection ends.
        connection.state = .inputEnded
        flushes(connection)
    }

    private func inputEnded(_ connection: Connection, left: Int) {
        // Half a line was never accepted.
        if left > 0 { logger.debug("a client ended within a message: \(left) bytes discarded") }
        connection.state = .inputEnded
        flushes(connection)
    }

    /// Whether the client has less in flight than it may.
    private func mayRead(_ connection: Connection) -> Bool {
        connection.bufferedCount < configuration.limits.repliesBytes
            && connection.pendingCount < UInt64(configuration.limits.repliesPending)
            && shutdown == .running
            && !isHeldUp(connection)
    }

    private func isHeldUp(_ connection: Connection) -> Bool {
        guard case .lines(let service) = connection.wire, !service.heldUp.isEmpty else {
            return false
        }
        return service.heldUp.contains { $0 === connection }
    }

    private func watchAgain(_ connection: Connection) {
        guard connection.state != .closed else { return }
        if let wanted = connection.wanted(reading: mayRead(connection)) {
            change(connection.number, wanted, token: connection.token)
        }
    }

    // MARK: Sending

    /// The connection may have something that can be sent at the end of this turn.
    func flushes(_ connection: Connection) {
        // A reply that waits for nothing may have let others go ahead that do.
        if connection.output.isGathering { gathers(connection) }
        resumes(connection)
    }

    func flush(_ connection: Connection) {
        guard connection.state != .closed else { return }
        guard connection.flush(now: now) else { return close(connection) }
        if connection.isFinished { return close(connection) }
        tellMissed(connection)
        resume(connection)
        watchAgain(connection)
        if connection.stalledSince != nil { expectReading(of: connection) }
    }

    private func expectReading(of connection: Connection) {
        guard !connection.isTimed else { return }
        connection.isTimed = true
        _ = after(configuration.limits.stalledClientTimeout) { [weak self, weak connection] in
            guard let self, let connection, connection.state != .closed else { return }
            connection.isTimed = false
            guard let since = connection.stalledSince else { return }
            if self.now.since(since) >= self.configuration.limits.stalledClientTimeout {
                self.logger.warning("a client that does not read its replies is closed")
                self.close(connection)
            } else {
                self.expectReading(of: connection)
            }
        }
    }

    /// A client whose queue is more than full holds up a service: it reads so much each second, or is
    /// closed.
    func expectFastReading(of connection: Connection) {
        guard !connection.isRushed else { return }
        connection.isRushed = true
        let before = connection.output.sentCount
        _ = after(.seconds(1)) { [weak self, weak connection] in
            guard let self, let connection, connection.state != .closed else { return }
            connection.isRushed = false
            guard connection.bufferedCount > FixedLimits.hardRepliesBytes / 2 else { return }
            guard connection.output.sentCount - before < FixedLimits.fastReadingBytes else {
                return self.expectFastReading(of: connection)
            }
            self.logger.warning("a client that does not read its replies is closed")
            self.close(connection)
        }
    }

    func close(_ connection: Connection) {
        guard connection.state != .closed else { return }
        connection.state = .closed
        stopWatching(connection.number, token: connection.token)
        connections[ObjectIdentifier(connection)] = nil
        endSubscription(connection)
        connection.shutDown()
        if case .lines(let service) = connection.wire {
            service.connectionCount -= 1
            service.heldUp.removeAll { $0 === connection }
        }
    }
}
