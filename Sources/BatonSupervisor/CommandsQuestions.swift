// STATUS and its like: what changes nothing and is answered in JSON. Runs in batond.

import BatonCore
import BatonWire

extension Supervisor {
    func status(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard command.count == 1 else {
            return answer(connection, slot, StatusReport.daemon(self))
        }
        if let name = ServiceName(command.text(1)), let reason = quarantined[name] {
            return answer(connection, slot, StatusReport.quarantined(name, reason))
        }
        guard let service = service(command, slot, mayLeave: true) else { return }
        answer(connection, slot, StatusReport.service(service))
    }

    func explain(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        if let name = ServiceName(command.text(1)), let reason = quarantined[name] {
            let explanation = Explanation(
                doing: "it is quarantined: \(reason)",
                waitsFor: "its mailbox to be put right, and batond to be started again")
            return answer(
                connection, slot, StatusReport.explanation(explanation, name, "quarantined"))
        }
        guard let service = service(command, slot, mayLeave: true) else { return }
        answer(
            connection, slot,
            StatusReport.explanation(service.explanation, service.name, service.stateText))
    }

    func mailbox(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        let wantsDead = command.count > 1
        if wantsDead, unsafe CommandOption(command.bytes(2)) != .dead {
            return connection.replyError(slot, "ERR", "usage: " + CommandName.mailbox.usage)
        }
        guard let service = service(command, slot, mayLeave: true) else { return }
        answer(
            connection, slot,
            wantsDead
                ? MailboxReport.deadLetters(of: service) : MailboxReport.mailbox(of: service))
    }
}
