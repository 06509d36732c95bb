// CALL and SEND: messages of RESP clients. Runs in batond.

import BatonCore
import BatonStore
import BatonWire

extension Supervisor {
    func call(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        var options = MessageOptions()
        if command.count > 2 {
            do throws(UsageError) { options = try messageOptions(command, of: .call) } catch {
                return connection.replyError(slot, "ERR", error.text)
            }
        }
        guard let service = service(command, slot) else { return }
        do throws(StoreError) {
            if let id = options.id {
                switch try unsafe service.take(
                    command.bytes(2), id: id, from: connection, slot: slot)
                {
                case .new: break
                case .known(let entry): service.answer(entry, to: connection, slot: slot)
                case .conflict(let entry): return conflict(entry, connection, slot)
                }
            } else {
                _ = try unsafe service.append(command.bytes(2), for: connection, slot: slot)
            }
        } catch { return notAppended(error, service, connection, slot) }
        guard let timeout = options.timeout, connection.awaits(slot) else { return }
        let at = now.advanced(by: timeout)
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
        var options = MessageOptions()
        if command.count > 2 {
            do throws(UsageError) { options = try messageOptions(command, of: .send) } catch {
                return connection.replyError(slot, "ERR", error.text)
            }
        }
        guard let service = service(command, slot) else { return }
        do throws(StoreError) {
            let sequence: SequenceNumber
            if let id = options.id {
                switch try unsafe service.take(
                    command.bytes(2), id: id, from: connection, slot: nil)
                {
                case .new(let number): sequence = number
                case .known(let entry): sequence = SequenceNumber(entry.sequence)
                case .conflict(let entry): return conflict(entry, connection, slot)
                }
            } else {
                sequence = try unsafe service.append(
                    command.bytes(2), for: connection, slot: nil)
            }
            connection.reply(slot, gated: service.isGated) { bytes in
                connection.writer.integer(sequence.value, to: &bytes)
            }
            service.expectCommit(of: connection)
        } catch { notAppended(error, service, connection, slot) }
    }

    private func conflict(_ entry: IDWindow.Entry, _ connection: Connection, _ slot: UInt64) {
        connection.replyError(
            slot, "CONFLICT",
            "this id was given to another payload, message \(entry.sequence): give each message an "
                + "id of its own")
    }

    // MARK: Options

    private struct MessageOptions {
        var timeout: Moment.Span?
        var id: [UInt8]?
    }

    private struct UsageError: Error {
        var text: String
    }

    private func messageOptions(_ command: Command, of name: CommandName) throws(UsageError)
        -> MessageOptions
    {
        var options = MessageOptions()
        let usage = UsageError(text: "usage: " + name.usage)
        for index in stride(from: 3, through: command.count, by: 2) {
            guard index < command.count else { throw usage }
            let value = unsafe command.bytes(index + 1)
            switch unsafe CommandOption(command.bytes(index)) {
            case .timeout where name == .call && options.timeout == nil:
                guard let milliseconds = unsafe DecimalText.parse(value) else { throw usage }
                options.timeout = .milliseconds(UInt64(milliseconds))
            case .id where options.id == nil:
                guard 1...FixedLimits.idBytes ~= value.count else {
                    throw UsageError(
                        text: "an id has 1 to \(FixedLimits.idBytes) bytes, this one has "
                            + "\(value.count)")
                }
                options.id = unsafe Array(value)
            case .timeout, .id, .image, .force, .rehearse, .allow, .dryRun, .wait, .dead, nil:
                throw usage
            }
        }
        return options
    }

    /// A message that the mailbox cannot take.
    func notAppended(
        _ error: StoreError, _ service: Service, _ connection: Connection, _ slot: UInt64
    ) {
        switch error {
        case .slowDisk: connection.replyError(slot, "BUSY", "\(error)")
        case .full:
            service.makeRoom()
            connection.replyError(slot, "BUSY", "\(error)")
        case .idsFull: connection.replyError(slot, "BUSY", "\(error)")
        case .noRoom(let what):
            if service.refusal == nil { service.hasNoRoom(for: what) }
            connection.replyError(slot, "READONLY", "\(error)")
        case .tooLarge: connection.replyError(slot, "TOOBIG", "\(error)")
        case .system, .corrupt, .newerFormat, .deadLettersFull:
            fail("\(service.name): \(error)")
        }
    }
}
