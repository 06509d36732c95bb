// What clients send: read in parts, cut into messages, left in the socket where there is too much.
// Runs in batond.
//
// Nobody is read beyond what it may have waiting (`mayRead`), and in one turn nobody is read for long.
// A client that was held back goes on in a later turn, behind the others.

import BatonCore
import BatonLinux
import BatonWire
import Glibc
import Logging

extension Supervisor {
    func ready(_ connection: Connection, _ interest: EventLoop.Interest) {
        if interest.contains(.writable) { flush(connection) }
        if interest.contains(.readable) {
            read(connection)
        } else if !interest.intersection(.hungUp).isEmpty, !interest.contains(.writable) {
            hasGone(connection)
        }
    }

    /// The client has closed its socket. What it had sent before counts all the same; replies to it
    /// have nobody to go to.
    func hasGone(_ connection: Connection) {
        guard connection.state == .open else { return close(connection) }
        guard !connection.hasGone else { return }
        connection.hasGone = true
        // Its end would be reported again and again.
        stopWatching(connection.number, token: connection.token)
        // What waits for it takes memory, and holds up the rest of what it had sent.
        flushes(connection)
        resumes(connection)
    }

    // MARK: Whether

    /// Whether the client has less in flight than it may.
    func mayRead(_ connection: Connection) -> Bool {
        !connection.isWaitingForRoom && connection.pendingCount < ahead(of: connection)
            && connection.bufferedCount < repliesBytes / 2 && shutdown == .running
    }

    /// Bytes of replies that may wait for one client. It is read no further from half of it on, since
    /// what it has sent before will have replies too.
    var repliesBytes: Int { min(configuration.limits.repliesBytes, memory.allowance) }

    /// Messages that may wait for their reply.
    func ahead(of connection: Connection) -> UInt64 {
        switch connection.wire {
        case .lines(let service): service.window
        case .resp: connection.lastService?.window ?? UInt64(configuration.limits.repliesPending)
        }
    }

    func watchAgain(_ connection: Connection) {
        guard connection.state != .closed, !connection.hasGone else { return }
        if let wanted = connection.wanted(reading: mayRead(connection)) {
            change(connection.number, wanted, token: connection.token)
        }
    }

    // MARK: Going on

    /// Back-pressure may have eased: the connection goes on in the next turn. Not now: somebody else's
    /// input may be being executed, and the scratch buffer holds one.
    func resumes(_ connection: Connection) {
        guard connection.state == .open, !connection.isToResume else { return }
        connection.isToResume = true
        toResume.append(connection)
    }

    /// At the beginning of a turn.
    func resumeAll() {
        let connections = toResume
        toResume = []
        for connection in connections {
            connection.isToResume = false
            resume(connection)
        }
    }

    private func resume(_ connection: Connection) {
        guard connection.state == .open, mayRead(connection) else { return watchAgain(connection) }
        if connection.isHeldBack {
            takeKept(connection)
        } else if connection.hasGone {
            read(connection)
        } else {
            watchAgain(connection)
        }
        // Nothing else would call for what is still in the socket.
        if connection.hasGone, !connection.isHeldBack { resumes(connection) }
    }

    // MARK: Reading

    /// Bytes of answers that one client is made in a turn, about: of what costs time at once. With many
    /// clients at once each is made less, but one.
    var answerBytes: Int { max(1, FixedLimits.answerBytes / max(1, eventCount)) }

    /// With many clients at once each is read less.
    private var readBytes: Int {
        let each = FixedLimits.readBytesOfAll / max(1, eventCount)
        return min(FixedLimits.readBytes, max(FixedLimits.readBytesAtLeast, each))
    }

    private func read(_ connection: Connection) {
        guard connection.state == .open, !connection.isHeldBack else { return }
        // The common case is nothing, or the beginning of one message: it goes to the front.
        let kept = connection.input.count
        let isShort = kept <= FixedLimits.shortInputBytes
        let start = isShort ? kept : 0
        let got = unsafe connection.read(
            into: UnsafeMutableRawBufferPointer(rebasing: scratch[start..<start + readBytes]))
        guard let got else {
            if connection.hasGone { close(connection) }
            return
        }
        if got == 0 { return inputEnded(connection) }
        connection.lastInput = now
        guard isShort else {
            unsafe connection.input.append(contentsOf: scratch[..<got])
            return takeKept(connection)
        }
        if kept > 0 {
            unsafe connection.input.withUnsafeBytes { unsafe scratch.copyMemory(from: $0) }
        }
        let input = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch[..<(start + got)])
        let consumed = unsafe take(input, of: connection)
        keep(connection, consumed == input.count ? [] : unsafe Array(input[consumed...]))
    }

    /// Takes messages from what is kept.
    private func takeKept(_ connection: Connection) {
        var input = connection.input
        connection.input = []
        let consumed = unsafe input.withUnsafeMutableBytes { unsafe take($0, of: connection) }
        if consumed == input.count { input = [] } else { input.removeFirst(consumed) }
        keep(connection, input)
    }

    private func keep(_ connection: Connection, _ input: [UInt8]) {
        // It may have been refused, and then nothing of it matters.
        guard connection.state == .open else {
            connection.input = []
            account(connection)
            return watchAgain(connection)
        }
        connection.input = input
        account(connection)
        if !connection.isHeldBack, input.count > FixedLimits.leastClientBytes {
            guard input.count <= memory.allowance else {
                warn(of: .noMemory, "clients take \(memory.used) bytes: a large message is refused")
                return refuse(
                    connection, "BUSY",
                    "there is no memory for so large a message now: try again later, or raise "
                        + "clients_bytes")
            }
            expectInput(of: connection)
        }
        watchAgain(connection)
    }

    /// Takes the messages in `input`.
    /// - Returns: how many bytes they were.
    private func take(_ input: UnsafeMutableRawBufferPointer, of connection: Connection) -> Int {
        precondition(!isParsing, "input was taken while another client's was being executed")
        isParsing = true
        defer { isParsing = false }
        var consumed = 0
        switch connection.wire {
        case .lines(let service):
            let lines = UnsafeRawBufferPointer(input)
            switch unsafe service.absorb(lines: lines, from: connection, consumed: &consumed) {
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
                input, of: connection, mayChange: mayChange, consumed: &consumed)
        }
        return consumed
    }

    // MARK: Ends

    /// Answers the last thing read with an error, and reads no more.
    func refuse(
        _ connection: Connection, _ code: String, _ text: String, at slot: UInt64? = nil
    ) {
        switch code {
        case "TOOBIG": counters.note(.tooBig)
        case "PROTOCOL": counters.note(.wrongProtocol)
        default: break
        }
        connection.replyError(slot ?? connection.takeSlots(1), code, text)
        endInput(connection)
    }

    private func inputEnded(_ connection: Connection) {
        // Half a line was never accepted.
        if !connection.input.isEmpty {
            counters.note(.unfinished)
            logger.debug(
                "a client ended within a message: \(connection.input.count) bytes discarded")
        }
        endInput(connection)
    }

    /// Replies to what came before still go out, and then the connection ends.
    private func endInput(_ connection: Connection) {
        guard !connection.hasGone else { return close(connection) }
        connection.state = .inputEnded
        connection.input = []
        connection.isHeldBack = false
        flushes(connection)
        watchAgain(connection)
    }

    /// A client that has sent much of a message and stops takes memory from the others.
    private func expectInput(of connection: Connection) {
        guard !connection.isExpectedToSend else { return }
        connection.isExpectedToSend = true
        let span = configuration.limits.stalledClientTimeout
        _ = after(span) { [weak self, weak connection] in
            guard let self, let connection, connection.state == .open else { return }
            connection.isExpectedToSend = false
            guard !connection.isHeldBack,
                connection.input.count > FixedLimits.leastClientBytes
            else { return }
            guard self.freshNow().since(connection.lastInput) >= span else {
                return self.expectInput(of: connection)
            }
            self.warn(of: .stalled, "a client that stopped within a message is closed")
            self.close(connection)
        }
    }
}
