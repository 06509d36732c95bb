// What RESP clients ask for, on baton.sock and control.sock. Runs in batond.

import BatonCore
import BatonStore
import BatonWire
import Glibc

extension Supervisor {
    /// Executes the commands in `input`; `consumed` is how much of it they were.
    /// - Returns: false if there may be more of them, for which the client has to wait.
    func execute(
        _ input: UnsafeMutableRawBufferPointer, of connection: Connection, mayChange: Bool,
        consumed: inout Int
    ) -> Bool {
        while connection.state == .open {
            guard mayTakeMore(connection) else { return false }
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: input[consumed...])
            switch unsafe connection.commands.next(rest) {
            case .needMore: return true
            case .protocolError(let text): refuse(connection, "PROTOCOL", text)
            case .tooBig(let text): refuse(connection, "TOOBIG", text)
            case .command(let count):
                consumed += count
                guard connection.commands.arguments.count > 0 else { continue }
                let command = unsafe Command(
                    input: UnsafeRawBufferPointer(rest), connection: connection)
                execute(command, mayChange)
            }
        }
        // Refused, or it has said QUIT: what is behind that does not matter.
        consumed = input.count
        return true
    }

    private func mayTakeMore(_ connection: Connection) -> Bool {
        connection.pendingCount < UInt64(configuration.limits.repliesPending)
            && connection.bufferedCount < configuration.limits.repliesBytes
    }

    /// One command: its arguments lie in the input buffer while it is executed.
    @safe struct Command {
        var input: UnsafeRawBufferPointer
        var connection: Connection

        var count: Int { connection.commands.arguments.count - 1 }
        /// Argument `index`, 0 being the command's name.
        func bytes(_ index: Int) -> UnsafeRawBufferPointer {
            unsafe UnsafeRawBufferPointer(rebasing: input[connection.commands.arguments[index]])
        }
        func text(_ index: Int) -> String { unsafe String(decoding: bytes(index), as: UTF8.self) }
    }

    private func execute(_ command: Command, _ mayChange: Bool) {
        let connection = command.connection
        let slot = connection.takeSlots(1)
        flushes(connection)
        guard let name = unsafe CommandName(command.bytes(0)) else {
            let text = command.text(0).prefix(64)
            return connection.replyError(
                slot, "ERR", "unknown command '\(text)': COMMAND lists those there are")
        }
        guard name.argumentCount.contains(command.count) else {
            return connection.replyError(slot, "ERR", name.wrongNumberOfArguments)
        }
        guard !name.changes || mayChange else {
            return connection.replyError(
                slot, "DENIED", "\(name.rawValue) changes things: send it to control.sock")
        }
        switch name {
        case .call: call(command, slot)
        case .send: send(command, slot)
        case .status: status(command, slot)
        case .reload:
            requestReload { result in
                switch result {
                case .success(let verdicts):
                    self.answer(connection, slot, StatusReport.verdicts(verdicts))
                case .failure(let refusal):
                    self.done(connection, slot, "REFUSED \(refusal.reason)")
                }
            }
        case .upgrade: upgrade(command, slot)
        case .suspend:
            guard let service = service(command, slot) else { return }
            service.suspendByHand { error in self.done(connection, slot, error) }
        case .resume:
            guard let service = service(command, slot) else { return }
            service.resumeByHand()
            done(connection, slot, nil)
        case .purge:
            guard let service = service(command, slot) else { return }
            service.purgeOld()
            done(connection, slot, nil)
        case .ping, .hello, .client, .command, .config, .info, .select, .quit:
            manners(name, command, slot)
        }
    }

    // MARK: Messages

    private func call(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        var timeout: Int?
        if command.count > 2 {
            guard command.count == 4,
                unsafe CommandOption(command.bytes(3)) == .timeout,
                let milliseconds = unsafe DecimalText.parse(command.bytes(4))
            else { return connection.replyError(slot, "ERR", "usage: " + CommandName.call.usage) }
            timeout = milliseconds
        }
        guard let service = service(command, slot) else { return }
        do throws(StoreError) {
            _ = try unsafe service.append(command.bytes(2), for: connection, slot: slot)
        } catch { return notAppended(error, service, connection, slot) }
        guard let timeout else { return }
        let at = now.advanced(by: .milliseconds(UInt64(timeout)))
        connection.deadlines.add(
            slot, at: at, pending: connection.pendingCount, awaits: connection.awaits)
        awaitDeadline(of: connection, at)
    }

    /// One timer a connection, for the earliest of its calls.
    private func awaitDeadline(of connection: Connection, _ next: Moment) {
        guard next < connection.deadlines.timed ?? .distantFuture else { return }
        connection.deadlines.timed = next
        _ = after(next.since(freshNow())) { [weak self, weak connection] in
            guard let self, let connection, connection.state != .closed,
                connection.deadlines.timed == next
            else { return }
            connection.deadlines.timed = nil
            let due = connection.deadlines.takeDue(at: self.freshNow(), awaits: connection.awaits)
            for slot in due {
                connection.replyError(
                    slot, "TIMEOUT",
                    "no reply in the time given; the message is kept and will be "
                        + "handled")
            }
            self.flushes(connection)
            if let next = connection.deadlines.next { self.awaitDeadline(of: connection, next) }
        }
    }

    private func send(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard command.count == 2 else {
            return connection.replyError(slot, "ERR", "usage: " + CommandName.send.usage)
        }
        guard let service = service(command, slot) else { return }
        do throws(StoreError) {
            let sequence = try unsafe service.append(command.bytes(2), for: connection, slot: nil)
            connection.reply(slot, gated: service.isGated) { bytes in
                connection.writer.integer(sequence.value, to: &bytes)
            }
            if service.isGated {
                commits(service)
                gathers(connection)
            }
        } catch { notAppended(error, service, connection, slot) }
    }

    private func notAppended(
        _ error: StoreError, _ service: Service, _ connection: Connection, _ slot: UInt64
    ) {
        switch error {
        case .full:
            service.makeRoom()
            connection.replyError(slot, "BUSY", "\(error)")
        case .noRoom: connection.replyError(slot, "READONLY", "\(error)")
        case .tooLarge: connection.replyError(slot, "TOOBIG", "\(error)")
        case .system, .corrupt, .newerFormat: fail("\(service.name): \(error)")
        }
    }

    /// The service that the first argument names; answers if there is none.
    private func service(_ command: Command, _ slot: UInt64) -> Service? {
        let connection = command.connection
        if let last = connection.lastService, unsafe last.isNamed(command.bytes(1)) { return last }
        let text = command.text(1)
        if let name = ServiceName(text) {
            if let service = services[name] {
                connection.lastService = service
                return service
            }
            if let reason = quarantined[name] {
                connection.replyError(slot, "UNAVAILABLE", reason)
                return nil
            }
        }
        connection.replyError(
            slot, "NOSERVICE",
            "there is no service '\(text.prefix(64))': put \(text.prefix(64)).so "
                + "into \(configuration.directories.plugins) and reload")
        return nil
    }

    // MARK: Status and change

    private func status(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard command.count == 1 else {
            return answer(connection, slot, StatusReport.daemon(self))
        }
        if let name = ServiceName(command.text(1)), let reason = quarantined[name] {
            return answer(connection, slot, StatusReport.quarantined(name, reason))
        }
        guard let service = service(command, slot) else { return }
        answer(connection, slot, StatusReport.service(service))
    }

    private func upgrade(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard let service = service(command, slot) else { return }
        var path: String?
        var force = false
        var index = 2
        while index <= command.count {
            switch unsafe CommandOption(command.bytes(index)) {
            case .image where index < command.count:
                path = command.text(index + 1)
                index += 2
            case .force:
                force = true
                index += 1
            default:
                return connection.replyError(slot, "ERR", "usage: " + CommandName.upgrade.usage)
            }
        }
        if path == nil {
            do throws(ImageRefusal) { path = try pluginPath(of: service.name) } catch {
                return connection.replyError(slot, "REFUSED", error.reason)
            }
        }
        guard let path else {
            return connection.replyError(
                slot, "REFUSED",
                "there is no \(service.name).so in "
                    + "\(configuration.directories.plugins): name a file with IMAGE")
        }
        guard path.hasPrefix("/") else {
            return connection.replyError(slot, "ERR", "IMAGE takes an absolute path")
        }
        takeIn(path, for: service, force: force) { verdict in
            self.answer(connection, slot, StatusReport.verdict(verdict))
        }
    }

    private func answer(_ connection: Connection, _ slot: UInt64, _ json: [UInt8]) {
        connection.reply(slot, gated: false) { connection.writer.bulk(json, to: &$0) }
        flushes(connection)
    }

    /// `error` is a code and a text.
    private func done(_ connection: Connection, _ slot: UInt64, _ error: String?) {
        connection.reply(slot, gated: false) { bytes in
            if let error {
                connection.writer.error(error, to: &bytes)
            } else {
                connection.writer.simpleString("OK", to: &bytes)
            }
        }
        flushes(connection)
    }

    // MARK: What Redis clients expect

    private func manners(_ name: CommandName, _ command: Command, _ slot: UInt64) {
        let connection = command.connection
        let first = command.count >= 1 ? command.text(1) : nil
        if name == .hello { return hello(command, slot) }
        connection.reply(slot, gated: false) { bytes in
            let writer = connection.writer
            switch name {
            case .ping:
                if let first {
                    writer.bulk(first, to: &bytes)
                } else {
                    writer.simpleString("PONG", to: &bytes)
                }
            case .client:
                Self.client(command, first ?? "", to: &bytes)
            case .command:
                // `COMMAND` lists the commands by name; `COMMAND DOCS` and the like have no entries.
                if first == nil {
                    writer.array(CommandName.allCases.count, to: &bytes)
                    for each in CommandName.allCases { writer.bulk(each.usage, to: &bytes) }
                } else if first?.uppercased() == "COUNT" {
                    writer.integer(CommandName.allCases.count, to: &bytes)
                } else {
                    writer.array(0, to: &bytes)
                }
            case .config:
                // redis-benchmark asks for `save` and `appendonly` and shows the answers.
                guard first?.uppercased() == "GET",
                    let key = command.count == 2 ? command.text(2) : nil
                else {
                    writer.error("ERR", "only CONFIG GET is known", to: &bytes)
                    return
                }
                let values = ["save": "", "appendonly": "yes"]
                guard let value = values[key.lowercased()] else { return writer.map(0, to: &bytes) }
                writer.map(1, to: &bytes)
                writer.bulk(key, to: &bytes)
                writer.bulk(value, to: &bytes)
            case .info: writer.bulk(StatusReport.info(self), to: &bytes)
            case .select:
                if first == "0" {
                    writer.simpleString("OK", to: &bytes)
                } else {
                    writer.error("ERR", "there is only database 0: SELECT 0", to: &bytes)
                }
            case .quit:
                writer.simpleString("OK", to: &bytes)
            case .hello, .call, .send, .status, .reload, .upgrade, .suspend, .resume, .purge:
                preconditionFailure("\(name) is executed elsewhere")
            }
        }
        if name == .quit { connection.state = .inputEnded }
    }

    private static func client(_ command: Command, _ verb: String, to bytes: inout [UInt8]) {
        let connection = command.connection
        let writer = connection.writer
        switch verb.uppercased() {
        case "SETNAME" where command.count == 2:
            connection.name = String(command.text(2).prefix(64))
            writer.simpleString("OK", to: &bytes)
        case "GETNAME": writer.bulk(connection.name, to: &bytes)
        case "ID": writer.integer(connection.token & 0xffff_ffff, to: &bytes)
        case "SETINFO", "NO-EVICT", "NO-TOUCH": writer.simpleString("OK", to: &bytes)
        default:
            writer.error(
                "ERR", "only CLIENT SETNAME, GETNAME, ID and SETINFO are known", to: &bytes)
        }
    }

    private func hello(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        if command.count >= 1 {
            guard let number = unsafe DecimalText.parse(command.bytes(1)),
                let version = RESPWriter.Version(rawValue: number)
            else {
                return connection.replyError(
                    slot, "NOPROTO", "RESP 2 and 3 are spoken: HELLO 2 or HELLO 3")
            }
            connection.writer.version = version
        }
        var index = 2
        while index <= command.count {
            switch command.text(index).uppercased() {
            case "SETNAME" where index < command.count:
                connection.name = String(command.text(index + 1).prefix(64))
                index += 2
            default:
                return connection.replyError(
                    slot, "ERR", "HELLO takes SETNAME only; access is by the socket's permissions")
            }
        }
        connection.reply(slot, gated: false) { bytes in
            let writer = connection.writer
            writer.map(4, to: &bytes)
            writer.bulk("server", to: &bytes)
            writer.bulk("baton", to: &bytes)
            writer.bulk("version", to: &bytes)
            writer.bulk(StatusReport.version, to: &bytes)
            writer.bulk("proto", to: &bytes)
            writer.integer(writer.version.rawValue, to: &bytes)
            writer.bulk("id", to: &bytes)
            writer.integer(connection.token & 0xffff_ffff, to: &bytes)
        }
    }
}

extension Service {
    /// Whether `bytes` are its name; without making a string of them.
    @inline(__always)
    func isNamed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress, bytes.count == nameBytes.count else { return false }
        return unsafe memcmp(start, nameBytes, bytes.count) == 0
    }
}
