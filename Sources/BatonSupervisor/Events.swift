// Events told: one line of the log, with fields and an id for the journal, and to every subscriber.
// Runs in batond.
//
// A subscriber that does not read holds up nothing: what goes beyond `replies_bytes` is dropped and
// counted, and once it has read half of what waits it is told how many it missed.

import BatonCore
import BatonSystemd
import BatonWire
import Logging

extension Supervisor {
    /// Tells what has happened.
    func emit(_ event: Event) {
        logger.log(level: event.kind.level, "\(event.text)", metadata: event.metadata)
        guard !subscribers.isEmpty else { return }
        let json = event.json(at: Timestamp(milliseconds: ground.wallMilliseconds()))
        for connection in subscribers { tell(connection, json) }
    }

    private func tell(_ connection: Connection, _ json: [UInt8]) {
        tellMissed(connection)
        guard connection.subscription?.missed == 0,
            connection.bufferedCount + json.count <= configuration.limits.repliesBytes
        else {
            connection.subscription?.missed += 1
            return
        }
        push(json, to: connection)
    }

    /// The client has read again, perhaps.
    func tellMissed(_ connection: Connection) {
        guard let missed = connection.subscription?.missed, missed > 0,
            connection.bufferedCount <= configuration.limits.repliesBytes / 2
        else { return }
        connection.subscription?.missed = 0
        var json = JSONText()
        json.object { json in
            json.member("event", "missed")
            json.member("count", missed)
        }
        push(json.bytes, to: connection)
    }

    private func push(_ json: [UInt8], to connection: Connection) {
        let writer = connection.writer
        let isTold = connection.push { bytes in
            writer.push(3, to: &bytes)
            writer.bulk("message", to: &bytes)
            writer.bulk(Self.channel, to: &bytes)
            writer.bulk(json, to: &bytes)
        }
        if isTold { flushes(connection) }
    }

    // MARK: Subscriptions

    /// The one channel there is.
    private static let channel = "events"

    func subscribe(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        for index in 1...command.count where command.text(index) != Self.channel {
            return connection.replyError(slot, "ERR", "there is one channel: SUBSCRIBE events")
        }
        if connection.subscription == nil {
            connection.subscription = Connection.Subscription(confirmation: slot)
            subscribers.append(connection)
        }
        connection.reply(slot, gated: false) { bytes in
            for _ in 1...command.count {
                Self.confirm("subscribe", Self.channel, 1, connection.writer, to: &bytes)
            }
        }
    }

    func unsubscribe(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        var names = command.count == 0 ? [] : (1...command.count).map { command.text($0) }
        let isMeant = names.isEmpty || names.contains(Self.channel)
        let wasSubscribed = connection.subscription != nil
        if names.isEmpty, wasSubscribed { names = [Self.channel] }
        if isMeant { endSubscription(connection) }
        let left = wasSubscribed && !isMeant ? 1 : 0
        connection.reply(slot, gated: false) { bytes in
            if names.isEmpty {
                Self.confirm("unsubscribe", nil, left, connection.writer, to: &bytes)
            }
            for name in names {
                Self.confirm("unsubscribe", name, left, connection.writer, to: &bytes)
            }
        }
    }

    func endSubscription(_ connection: Connection) {
        guard connection.subscription != nil else { return }
        connection.subscription = nil
        subscribers.removeAll { $0 === connection }
    }

    /// As Redis does it: one for each channel, with the number of channels that are left.
    private static func confirm(
        _ what: String, _ channel: String?, _ left: Int, _ writer: RESPWriter,
        to bytes: inout [UInt8]
    ) {
        writer.push(3, to: &bytes)
        writer.bulk(what, to: &bytes)
        if let channel { writer.bulk(channel, to: &bytes) } else { writer.null(to: &bytes) }
        writer.integer(left, to: &bytes)
    }
}

extension Event.Kind {
    var level: Logger.Level {
        switch weight {
        case .phase: .info
        case .notable: .notice
        case .warning: .warning
        case .error: .error
        case .critical: .critical
        }
    }
}

extension Event {
    /// The journal's fields: `event` becomes BATON_EVENT, and so on; `message_id` is MESSAGE_ID.
    var metadata: Logger.Metadata {
        var fields: Logger.Metadata = [
            "event": "\(kind.rawValue)", JournalLog.messageIDKey: "\(kind.messageID)",
        ]
        fields["service"] = service.map { "\($0)" }
        fields["phase"] = phase.map { "\($0)" }
        fields["from"] = from.map { "\($0)" }
        fields["to"] = to.map { "\($0)" }
        fields["digest"] = digest.map { "\($0)" }
        fields["cause"] = cause.map { "\($0)" }
        fields["pid"] = pid.map { "\($0)" }
        fields["message"] = message.map { "\($0)" }
        fields["duration_microseconds"] = duration.map { "\($0.microseconds)" }
        return fields
    }
}
