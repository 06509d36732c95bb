// CALL and SEND: messages of RESP clients. Runs in batond.

import BatonCore
import BatonStore
import BatonWire

extension Supervisor {
    func call(_ command: Command, _ slot: UInt64) {
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

    func send(_ command: Command, _ slot: UInt64) {
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

    /// A message that the mailbox cannot take.
    func notAppended(
        _ error: StoreError, _ service: Service, _ connection: Connection, _ slot: UInt64
    ) {
        switch error {
        case .full:
            service.makeRoom()
            connection.replyError(slot, "BUSY", "\(error)")
        case .noRoom: connection.replyError(slot, "READONLY", "\(error)")
        case .tooLarge: connection.replyError(slot, "TOOBIG", "\(error)")
        case .system, .corrupt, .newerFormat, .deadLettersFull: fail("\(service.name): \(error)")
        }
    }
}
