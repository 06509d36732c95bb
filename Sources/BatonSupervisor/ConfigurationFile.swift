// The configuration file: YAML, every key known, every mistake named with its line. Runs in batond.

import BatonCore
import Glibc
import Logging
import Yams

/// Why a configuration file is not taken; said to the operator.
package struct ConfigurationRefusal: Error, CustomStringConvertible {
    package var description: String
}

package enum ConfigurationFile {
    /// Reads `path` over the defaults.
    package static func read(
        _ path: String, mayBeMissing: Bool, into defaults: Configuration
    ) throws(ConfigurationRefusal) -> Configuration {
        guard let text = try text(of: path, mayBeMissing: mayBeMissing) else { return defaults }
        return try parse(text, path: path, into: defaults)
    }

    private static func text(of path: String, mayBeMissing: Bool)
        throws(ConfigurationRefusal) -> String?
    {
        guard let file = unsafe fopen(path, "re") else {
            if errno == ENOENT, mayBeMissing { return nil }
            throw ConfigurationRefusal(
                description: "\(path) cannot be read: \(unsafe String(cString: strerror(errno)))")
        }
        defer { _ = unsafe fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let capacity = bytes.count
        let count = unsafe fread(&bytes, 1, capacity, file)
        guard count < capacity else {
            throw ConfigurationRefusal(description: "\(path) is larger than 1 MiB")
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    package static func parse(
        _ text: String, path: String, into defaults: Configuration
    ) throws(ConfigurationRefusal) -> Configuration {
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            throw ConfigurationRefusal(description: "\(path) is no YAML: \(error)")
        }
        guard let node, node.null == nil else { return defaults }
        var configuration = defaults
        let file = Reader(path: path)
        for (key, value) in try file.members(node) {
            switch key.name {
            case "plugins": configuration.directories.plugins = try file.text(value)
            case "state": configuration.directories.state = try file.text(value)
            case "runtime": configuration.directories.runtime = try file.text(value)
            case "log_level":
                configuration.logLevel = try file.choice(
                    value, Configuration.LogLevel.init(rawValue:),
                    "debug, info, notice, warning, error or critical")
            case "durability": configuration.durability = try file.durability(value)
            case "limits": try file.limits(value, into: &configuration.limits)
            case "services":
                for (name, members) in try file.members(value) {
                    try file.service(name, members, into: &configuration)
                }
            default:
                throw file.unknown(
                    key, "plugins, state, runtime, log_level, durability, limits, services")
            }
        }
        return configuration
    }
}

/// Reads values, and says what is wrong with them and where.
private struct Reader {
    let path: String

    struct Key {
        var name: String
        var node: Node
    }

    func members(_ node: Node) throws(ConfigurationRefusal) -> [(Key, Node)] {
        guard let mapping = node.mapping else {
            throw refusal(node, "keys with values are expected here")
        }
        var members: [(Key, Node)] = []
        for (key, value) in mapping {
            guard let name = key.string else { throw refusal(key, "a key is a word") }
            members.append((Key(name: name, node: key), value))
        }
        return members
    }

    func limits(_ node: Node, into limits: inout Limits) throws(ConfigurationRefusal) {
        for (key, value) in try members(node) {
            switch key.name {
            case "message_bytes": limits.messageBytes = try bytes(value, 1...(64 << 20))
            case "state_bytes": limits.stateBytes = try bytes(value, 1...(8 << 20))
            case "mailbox_bytes": limits.mailboxBytes = try bytes(value, (1 << 20)...(1 << 40))
            case "connections": limits.connections = try count(value, 1...1_000_000)
            case "replies_bytes": limits.repliesBytes = try bytes(value, (64 << 10)...(1 << 30))
            case "replies_pending": limits.repliesPending = try count(value, 1...(1 << 30))
            case "prepare_timeout": limits.prepareTimeout = try span(value)
            case "suspend_timeout": limits.suspendTimeout = try span(value)
            case "migrate_timeout": limits.migrateTimeout = try span(value)
            case "stop_timeout": limits.stopTimeout = try span(value)
            case "shutdown_timeout": limits.shutdownTimeout = try span(value)
            case "stalled_client_timeout": limits.stalledClientTimeout = try span(value)
            case "restarts": limits.restarts = try count(value, 0...1000)
            case "restart_period": limits.restartPeriod = try span(value)
            case "attempts": limits.attempts = UInt32(try count(value, 1...1000))
            default:
                throw unknown(
                    key,
                    "message_bytes, state_bytes, mailbox_bytes, connections, replies_bytes, "
                        + "replies_pending, prepare_timeout, suspend_timeout, migrate_timeout, "
                        + "stop_timeout, shutdown_timeout, stalled_client_timeout, restarts, "
                        + "restart_period, attempts")
            }
        }
    }

    func service(_ key: Key, _ node: Node, into configuration: inout Configuration)
        throws(ConfigurationRefusal)
    {
        guard let name = ServiceName(key.name) else {
            throw refusal(key.node, "'\(key.name)' is no service name: [a-z][a-z0-9-]{0,62}")
        }
        for (key, value) in try members(node) {
            switch key.name {
            case "durability": configuration.serviceDurability[name] = try durability(value)
            default: throw unknown(key, "durability")
            }
        }
    }

    func durability(_ node: Node) throws(ConfigurationRefusal) -> Durability {
        try choice(node, Durability.init(rawValue:), "commit, interval or none")
    }

    func choice<Value>(_ node: Node, _ make: (String) -> Value?, _ choices: String)
        throws(ConfigurationRefusal) -> Value
    {
        guard let value = node.string.flatMap(make) else { throw refusal(node, "use \(choices)") }
        return value
    }

    func text(_ node: Node) throws(ConfigurationRefusal) -> String {
        guard let text = node.string, !text.isEmpty else {
            throw refusal(node, "a path is expected")
        }
        return text
    }

    func count(_ node: Node, _ range: ClosedRange<Int>) throws(ConfigurationRefusal) -> Int {
        guard let value = node.int, range.contains(value) else {
            throw refusal(
                node, "a number from \(range.lowerBound) to \(range.upperBound) is expected")
        }
        return value
    }

    /// `65536`, `64 KiB`, `1 MiB`, `2 GiB`.
    func bytes(_ node: Node, _ range: ClosedRange<Int>) throws(ConfigurationRefusal) -> Int {
        let units = ["KiB": 10, "MiB": 20, "GiB": 30]
        guard
            let value = measure(node, units: units.mapValues { 1 << $0 }), range.contains(value)
        else {
            throw refusal(
                node,
                "bytes from \(range.lowerBound) to \(range.upperBound) are expected, such as "
                    + "65536, 64 KiB or 1 MiB")
        }
        return value
    }

    /// `500ms`, `5s`, `2min`; a bare number is seconds.
    func span(_ node: Node) throws(ConfigurationRefusal) -> Moment.Span {
        let units = ["ms": 1, "s": 1000, "min": 60_000]
        let milliseconds = node.int.map { $0.multipliedReportingOverflow(by: 1000).partialValue }
        guard let value = milliseconds ?? measure(node, units: units), value > 0,
            value <= 86_400_000
        else { throw refusal(node, "a time up to a day is expected, such as 500ms, 5s or 2min") }
        return .milliseconds(UInt64(value))
    }

    private func measure(_ node: Node, units: [String: Int]) -> Int? {
        if let value = node.int { return value }
        guard let text = node.string else { return nil }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Int(digits), let factor = units[String(unit)] else { return nil }
        let (value, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : value
    }

    func unknown(_ key: Key, _ known: String) -> ConfigurationRefusal {
        refusal(key.node, "the key '\(key.name)' is not known; known here: \(known)")
    }

    private func refusal(_ node: Node, _ text: String) -> ConfigurationRefusal {
        let line = node.mark.map { ":\($0.line)" } ?? ""
        return ConfigurationRefusal(description: "\(path)\(line): \(text)")
    }
}
