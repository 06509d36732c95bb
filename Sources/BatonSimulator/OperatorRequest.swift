// What an operator may ask at control.sock, how that is said, and which answers make sense.
// Runs in the simulator.

import BatonCore

enum OperatorRequest: Equatable {
    struct Upgrade: Equatable {
        var service: String
        var version: ModelVersion
        var force = false
        var rehearse = 0
        var isDryRun = false
        var waits = false
    }

    case upgrade(Upgrade)
    /// Whatever lies in the plugin directory.
    case reload(isDryRun: Bool, waits: Bool)
    case rollback(String)
    case confirm(String)
    case suspend(String)
    case resume(String)
    case purge(String)
    case redeliver(String)
    case discard(String)

    /// `nil` if it is about all of them.
    var service: String? {
        switch self {
        case .upgrade(let upgrade): upgrade.service
        case .reload: nil
        case .rollback(let service), .confirm(let service), .suspend(let service),
            .resume(let service), .purge(let service), .redeliver(let service),
            .discard(let service):
            service
        }
    }

    func words(_ places: Places) -> [String] {
        switch self {
        case .upgrade(let upgrade):
            var words = ["UPGRADE", upgrade.service]
            words += ["IMAGE", places.image(upgrade.service, upgrade.version)]
            if upgrade.force { words.append("FORCE") }
            if upgrade.rehearse > 0 { words += ["REHEARSE", "\(upgrade.rehearse)"] }
            if upgrade.isDryRun { words.append("DRYRUN") }
            if upgrade.waits { words.append("WAIT") }
            return words
        case .reload(let isDryRun, let waits):
            return ["RELOAD"] + (isDryRun ? ["DRYRUN"] : []) + (waits ? ["WAIT"] : [])
        case .rollback(let service): return ["ROLLBACK", service]
        case .confirm(let service): return ["CONFIRM", service]
        case .suspend(let service): return ["SUSPEND", service]
        case .resume(let service): return ["RESUME", service]
        case .purge(let service): return ["PURGE", service]
        case .redeliver(let service): return ["REDELIVER", service, "ALL"]
        case .discard(let service): return ["DISCARD", service, "ALL"]
        }
    }

    // MARK: Answers

    enum Answer: Equatable {
        /// What became of an upgrade or a rollback.
        case verdict(String)
        /// Of a reload.
        case verdicts
        case done
        case count(Int)
        /// It was not done, and why.
        case declined(String)
    }

    /// `nil` for an answer that makes no sense.
    /// - Parameter saysOne: whether all versions of the service reply the same.
    func answer(_ answer: ReplyStream.Answer, saysOne: Bool) -> Answer? {
        switch (self, answer) {
        case (_, .error(let text)):
            let code = text.prefix { $0 != " " }
            let known = ["BUSY", "REFUSED", "NOSERVICE", "READONLY", "UNAVAILABLE"]
            return known.contains(String(code)) ? .declined(text) : nil
        case (.upgrade(let upgrade), .line(let bytes)):
            let text = String(decoding: bytes, as: UTF8.self)
            return makesSense(upgrade, text, saysOne) ? .verdict(Self.verdict(text)) : nil
        case (.rollback, .line(let bytes)):
            let verdict = Self.verdict(String(decoding: bytes, as: UTF8.self))
            return ["rolled_back", "refused"].contains(verdict) ? .verdict(verdict) : nil
        case (.reload, .line(let bytes)):
            return bytes.first == UInt8(ascii: "[") ? .verdicts : nil
        case (.confirm, .line(let bytes)), (.suspend, .line(let bytes)),
            (.resume, .line(let bytes)), (.purge, .line(let bytes)):
            return bytes == Array("OK".utf8) ? .done : nil
        case (.redeliver, .integer(let count)), (.discard, .integer(let count)):
            return .count(count)
        case (.redeliver, .line), (.discard, .line), (_, .integer): return nil
        }
    }

    private func makesSense(_ upgrade: Upgrade, _ text: String, _ saysOne: Bool) -> Bool {
        switch Self.verdict(text) {
        case "upgraded", "started", "rolled_back":
            !upgrade.isDryRun && upgrade.version.flaw.runs
                && Self.member("to", of: text) == upgrade.version.name
        case "would_upgrade", "would_start": upgrade.isDryRun
        case "current": true
        case "refused":
            // Versions that say the same are not to be refused for saying otherwise.
            !text.contains("replies differ") || !saysOne
        default: false
        }
    }

    private static func verdict(_ json: String) -> String { member("verdict", of: json) ?? "" }

    /// A member of a JSON object whose value is a text.
    static func member(_ name: String, of json: String) -> String? {
        guard let range = json.firstRange(of: "\"\(name)\":\"") else { return nil }
        return String(json[range.upperBound...].prefix { $0 != "\"" })
    }
}
