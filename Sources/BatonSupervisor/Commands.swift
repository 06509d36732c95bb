// What RESP clients ask for, on baton.sock and control.sock: which command it is, whether it may be
// asked, and how it is answered. The files Commands... have the commands. Runs in batond.

import BatonCore
import BatonLinux
import BatonWire
import Glibc

extension Supervisor {
    /// Executes the commands in `input`; `consumed` is how much of it they were.
    /// - Returns: false if there may be more of them, for which the client has to wait.
    func execute(
        _ input: UnsafeMutableRawBufferPointer, of connection: Connection, mayChange: Bool,
        consumed: inout Int
    ) -> Bool {
        let ahead = ahead(of: connection)
        let before = connection.output.end
        let answerBytes = answerBytes
        while connection.state == .open {
            guard connection.pendingCount < ahead, connection.bufferedCount < repliesBytes / 2,
                // Answers that are made at once cost time: the others have their turn in between.
                connection.output.end - before < answerBytes
            else { return false }
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
        /// The arguments from `index` on.
        func words(from index: Int) -> [String] {
            index <= count ? (index...count).map(text) : []
        }
    }

    private func execute(_ command: Command, _ mayChange: Bool) {
        let connection = command.connection
        let slot = connection.takeSlots(1)
        flushes(connection)
        guard let name = unsafe CommandName(command.bytes(0)) else {
            guard unsafe command.bytes(0).allSatisfy({ 0x21...0x7e ~= $0 }) else {
                return refuse(
                    connection, "PROTOCOL",
                    "this is no command: send RESP arrays of bulk strings or an inline command",
                    at: slot)
            }
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
        guard connection.mayAsk(name) else {
            return connection.replyError(
                slot, "ERR",
                "this connection is subscribed: it takes SUBSCRIBE, UNSUBSCRIBE, PING and QUIT; "
                    + "with HELLO 3 before SUBSCRIBE, everything")
        }
        // Nobody hears the answer, and there may be very many.
        if connection.hasGone, name.isQuestion {
            return connection.reply(slot, gated: false) { _ in }
        }
        switch name {
        case .call: call(command, slot)
        case .send: send(command, slot)
        case .status: status(command, slot)
        case .explain: explain(command, slot)
        case .mailbox: mailbox(command, slot)
        case .subscribe: subscribe(command, slot)
        case .unsubscribe: unsubscribe(command, slot)
        case .reload: reload(command, slot)
        case .upgrade: upgrade(command, slot)
        case .rollback: rollback(command, slot)
        case .confirm: confirm(command, slot)
        case .redeliver: redeliver(command, slot)
        case .discard: discard(command, slot)
        case .suspend: suspend(command, slot)
        case .resume: resume(command, slot)
        case .purge: purge(command, slot)
        case .ping, .hello, .client, .command, .config, .info, .select, .quit:
            manners(name, command, slot)
        }
    }

    // MARK: For all commands

    /// The service that the first argument names; answers if there is none.
    /// - Parameter mayLeave: also one that is being removed.
    func service(_ command: Command, _ slot: UInt64, mayLeave: Bool = false) -> Service? {
        let connection = command.connection
        if let last = connection.lastService, last.removal == nil, last.settings.access == nil,
            unsafe last.isNamed(command.bytes(1))
        {
            return last
        }
        let text = command.text(1)
        if let name = ServiceName(text) {
            if let service = services[name] {
                guard service.admits(connection) else {
                    audit(connection.peer, refusedBy: service)
                    connection.replyError(
                        slot, "DENIED",
                        "user \(connection.peer.uid) may not use \(name): see allow_users in its "
                            + "configuration")
                    return nil
                }
                guard service.removal == nil || mayLeave else {
                    connection.replyError(
                        slot, "NOSERVICE",
                        "'\(name)' is being removed: put \(name).so into "
                            + "\(configuration.directories.plugins) again and reload")
                    return nil
                }
                connection.lastService = service
                return service
            }
            if let outage = outages[name] {
                connection.replyError(slot, outage.code, outage.reason)
                return nil
            }
        }
        connection.replyError(
            slot, "NOSERVICE",
            "there is no service '\(text.prefix(64))': put \(text.prefix(64)).so "
                + "into \(configuration.directories.plugins) and reload")
        return nil
    }

    func answer(_ connection: Connection, _ slot: UInt64, _ json: [UInt8]) {
        connection.reply(slot, gated: false) { connection.writer.bulk(json, to: &$0) }
        flushes(connection)
    }

    /// `error` is a code and a text.
    func done(_ connection: Connection, _ slot: UInt64, _ error: String?) {
        connection.reply(slot, gated: false) { bytes in
            if let error {
                connection.writer.error(error, to: &bytes)
            } else {
                connection.writer.simpleString("OK", to: &bytes)
            }
        }
        flushes(connection)
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
