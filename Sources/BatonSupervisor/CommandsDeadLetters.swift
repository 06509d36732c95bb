// REDELIVER and DISCARD: what becomes of dead letters. Runs in batond.

import BatonCore
import BatonStore
import BatonWire

extension Supervisor {
    func redeliver(_ command: Command, _ slot: UInt64) {
        dispose(command, slot, .redeliver) { service, sequence throws(StoreError) in
            try service.redeliver(sequence)
        }
    }

    func discard(_ command: Command, _ slot: UInt64) {
        dispose(command, slot, .discard) { service, sequence throws(StoreError) in
            try service.discard(sequence)
        }
    }

    /// Answers with the number of dead letters that `action` took, once that is durable.
    private func dispose(
        _ command: Command, _ slot: UInt64, _ name: CommandName,
        _ action: (Service, UInt64) throws(StoreError) -> Bool
    ) {
        let connection = command.connection
        guard let choice = DeadLetterChoice(command.text(2)) else {
            return connection.replyError(slot, "ERR", "usage: " + name.usage)
        }
        guard let service = service(command, slot) else { return }
        let sequences =
            switch choice {
            case .one(let sequence): [sequence]
            case .all: service.mailbox.standing.deadLetters.map(\.sequence)
            }
        var taken = 0
        do throws(StoreError) {
            for sequence in sequences where try action(service, sequence) { taken += 1 }
        } catch { return notAppended(error, service, connection, slot) }
        if case .one(let sequence) = choice, taken == 0 {
            return connection.replyError(
                slot, "REFUSED",
                "there is no dead letter \(sequence) in \(service.name): 'baton mailbox "
                    + "\(service.name) --dead' lists them")
        }
        connection.reply(slot, gated: service.isGated) { bytes in
            connection.writer.integer(taken, to: &bytes)
        }
        if service.isGated {
            commits(service)
            gathers(connection)
        }
    }
}
