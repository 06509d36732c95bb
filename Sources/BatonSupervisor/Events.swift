// Events told: one line of the log, with fields and an id for the journal. Runs in batond.

import BatonCore
import BatonSystemd
import Logging

extension Supervisor {
    /// Tells what has happened.
    func emit(_ event: Event) {
        logger.log(level: event.kind.level, "\(event.text)", metadata: event.metadata)
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
