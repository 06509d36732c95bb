// What Redis clients ask when they connect, measure or leave: PING, HELLO, CLIENT and the like.
// Runs in batond.

import BatonCore
import BatonWire

extension Supervisor {
    func manners(_ name: CommandName, _ command: Command, _ slot: UInt64) {
        let connection = command.connection
        let first = command.count >= 1 ? command.text(1) : nil
        if name == .hello { return hello(command, slot) }
        connection.reply(slot, gated: false) { bytes in
            let writer = connection.writer
            switch name {
            case .ping where connection.subscription != nil && writer.version == .two:
                writer.array(2, to: &bytes)
                writer.bulk("pong", to: &bytes)
                writer.bulk(first ?? "", to: &bytes)
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
            case .hello, .call, .send, .status, .explain, .mailbox, .subscribe, .unsubscribe,
                .reload, .rollback, .confirm, .redeliver, .discard,
                .upgrade,
                .suspend, .resume, .purge:
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
            if connection.take(name: command.text(2)) {
                writer.simpleString("OK", to: &bytes)
            } else {
                writer.error("ERR", Connection.nameIsTooLong, to: &bytes)
            }
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
                guard connection.take(name: command.text(index + 1)) else {
                    return connection.replyError(slot, "ERR", Connection.nameIsTooLong)
                }
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
