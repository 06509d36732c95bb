// STATUS and its like: what changes nothing and is answered in JSON. Runs in batond.

import BatonCore
import BatonWire

extension Supervisor {
    func status(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard command.count == 1 else {
            return answer(connection, slot, StatusReport.daemon(self))
        }
        if let name = ServiceName(command.text(1)), let outage = outages[name] {
            return answer(connection, slot, StatusReport.outage(name, outage))
        }
        guard let service = service(command, slot, mayLeave: true) else { return }
        answer(connection, slot, StatusReport.service(service))
    }

    func explain(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        if let name = ServiceName(command.text(1)), let outage = outages[name] {
            let explanation = Explanation(
                doing: "it is \(outage.stateText.replacing("_", with: "-")): \(outage.reason)",
                waitsFor: outage.waitsFor)
            return answer(
                connection, slot, StatusReport.explanation(explanation, name, outage.stateText))
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
