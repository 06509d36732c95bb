// Reads the values of the configuration file, and says what is wrong with them, where, and what
// would be right. Runs in batond.

import BatonCore
import Yams

struct ConfigurationReader {
    let path: String

    struct Key {
        var name: String
        var node: Node
    }

    func members(_ node: Node) throws(ConfigurationRefusal) -> [(Key, Node)] {
        // A key whose members are all commented out.
        if node.null != nil { return [] }
        guard let mapping = node.mapping else {
            throw refusal(node, "keys with values are expected here, such as 'key: value'")
        }
        var members: [(Key, Node)] = []
        for (key, value) in mapping {
            guard let name = key.string else {
                throw refusal(key, "a key is a word: write 'key: value'")
            }
            members.append((Key(name: name, node: key), value))
        }
        return members
    }

    // MARK: Sections

    func limits(_ node: Node, into configuration: inout Configuration)
        throws(ConfigurationRefusal)
    {
        var limits = configuration.limits
        defer { configuration.limits = limits }
        for (key, value) in try members(node) {
            configuration.lines[key.name] = key.node.mark?.line
            switch key.name {
            case "message_bytes": limits.messageBytes = try bytes(value, 1...(64 << 20))
            case "state_bytes": limits.stateBytes = try bytes(value, 1...(1 << 30))
            case "mailbox_bytes": limits.mailboxBytes = try bytes(value, (1 << 20)...(1 << 40))
            case "unsynced_bytes": limits.unsyncedBytes = try bytes(value, (64 << 10)...(1 << 40))
            case "ids": limits.ids.count = try count(value, 1...1_000_000)
            case "ids_bytes": limits.ids.bytes = try bytes(value, (64 << 10)...(64 << 20))
            case "ids_age": limits.ids.ageMilliseconds = try span(value).milliseconds
            case "connections": limits.connections = try count(value, 1...1_000_000)
            case "connections_per_uid":
                limits.connectionsPerUser = try count(value, 1...1_000_000)
            case "clients_bytes": limits.clientsBytes = try bytes(value, (8 << 20)...(1 << 40))
            case "replies_bytes": limits.repliesBytes = try bytes(value, (64 << 10)...(1 << 30))
            case "replies_pending": limits.repliesPending = try count(value, 1...(1 << 30))
            case "prepare_timeout": limits.prepareTimeout = try span(value)
            case "suspend_timeout": limits.suspendTimeout = try span(value)
            case "migrate_timeout": limits.migrateTimeout = try span(value)
            case "replay_timeout": limits.replayTimeout = try span(value)
            case "handle_timeout": limits.handleTimeout = try spanOrZero(value)
            case "drain_timeout": limits.drainTimeout = try span(value)
            case "stop_timeout": limits.stopTimeout = try span(value)
            case "shutdown_timeout": limits.shutdownTimeout = try span(value)
            case "stalled_client_timeout": limits.stalledClientTimeout = try span(value)
            case "restarts": limits.restarts = try count(value, Self.restarts)
            case "restart_period": limits.restartPeriod = try span(value)
            case "probation_bytes": limits.probationBytes = try bytes(value, (1 << 20)...(1 << 40))
            case "host_memory": limits.hostMemory = try bytesOrZero(value, (16 << 20)...(1 << 40))
            case "attempts": limits.attempts = UInt32(try count(value, 1...1000))
            default:
                throw unknown(
                    key,
                    "message_bytes, state_bytes, mailbox_bytes, unsynced_bytes, ids, ids_bytes, ids_age, "
                        + "connections, connections_per_uid, clients_bytes, replies_bytes, "
                        + "replies_pending, prepare_timeout, suspend_timeout, migrate_timeout, "
                        + "replay_timeout, "
                        + "handle_timeout, drain_timeout, stop_timeout, shutdown_timeout, "
                        + "stalled_client_timeout, restarts, restart_period, probation_bytes, "
                        + "host_memory, attempts")
            }
        }
    }

    func service(_ node: Node) throws(ConfigurationRefusal) -> ServiceSettings.Overrides {
        var own = ServiceSettings.Overrides()
        for (key, value) in try members(node) {
            switch key.name {
            case "durability": own.durability = try durability(value)
            case "restart":
                own.restart = try choice(
                    value, RestartType.init(rawValue:), "permanent, transient or temporary")
            case "probation": own.probation = try spanOrZero(value)
            case "rehearse": own.rehearse = try count(value, 0...1_000_000)
            case "rehearse_allow": own.rehearseAllow = try count(value, 0...1_000_000)
            case "restarts": own.restarts = try count(value, Self.restarts)
            case "restart_period": own.restartPeriod = try span(value)
            case "allow_users":
                own.access = own.access ?? AccessList()
                own.access?.users = try accounts(value, AccessList.user, "user")
            case "allow_groups":
                own.access = own.access ?? AccessList()
                own.access?.groups = try accounts(value, AccessList.group, "group")
            default:
                throw unknown(
                    key,
                    "durability, restart, probation, rehearse, rehearse_allow, restarts, "
                        + "restart_period, allow_users, allow_groups")
            }
        }
        return own
    }

    func groups(_ node: Node, into configuration: inout Configuration)
        throws(ConfigurationRefusal)
    {
        for (key, members) in try members(node) {
            guard ServiceName(key.name) != nil else {
                throw refusal(
                    key.node, "'\(key.name)' is no name of a group: use [a-z][a-z0-9-]{0,62}")
            }
            configuration.groups.append(try group(key, members, &configuration))
        }
    }

    private func group(_ key: Key, _ node: Node, _ configuration: inout Configuration)
        throws(ConfigurationRefusal) -> Group
    {
        var strategy: Group.Strategy?
        var services: [ServiceName] = []
        var restarts = configuration.limits.restarts
        var period = configuration.limits.restartPeriod
        for (key, value) in try members(node) {
            switch key.name {
            case "strategy":
                strategy = try choice(
                    value, Group.Strategy.init(rawValue:),
                    "one_for_all or rest_for_one (a service in no group is one for one)")
            case "services":
                for each in try list(value) {
                    let service = try serviceName(each)
                    if let other = configuration.group(of: service)?.name
                        ?? (services.contains(service) ? "this one" : nil)
                    {
                        throw refusal(
                            each,
                            "'\(service)' stands in the group \(other) already: a service is in "
                                + "one group, once")
                    }
                    services.append(service)
                    configuration.mentions.append(
                        Configuration.Mention(service: service, place: place(each)))
                }
            case "restarts": restarts = try count(value, Self.restarts)
            case "restart_period": period = try span(value)
            default: throw unknown(key, "strategy, services, restarts, restart_period")
            }
        }
        guard let strategy else {
            throw refusal(key.node, "add a strategy: one_for_all or rest_for_one")
        }
        guard !services.isEmpty else {
            throw refusal(key.node, "add the group's services, in the order of their start")
        }
        return Group(
            name: key.name, strategy: strategy, services: services, restarts: restarts,
            restartPeriod: period)
    }

    // MARK: Values

    private func accounts(_ node: Node, _ find: (String) -> UInt32?, _ kind: String)
        throws(ConfigurationRefusal) -> Set<UInt32>
    {
        var numbers: Set<UInt32> = []
        for each in try list(node) {
            guard let number = each.string.flatMap(find) else {
                throw refusal(
                    each, "there is no \(kind) '\(each.string ?? "")': use a name or a number")
            }
            numbers.insert(number)
        }
        return numbers
    }

    private static let restarts = 0...1000

    func serviceName(_ node: Node) throws(ConfigurationRefusal) -> ServiceName {
        guard let text = node.string, let name = ServiceName(text) else {
            throw refusal(
                node, "'\(node.string ?? "this")' is no service name: use [a-z][a-z0-9-]{0,62}")
        }
        return name
    }

    private func list(_ node: Node) throws(ConfigurationRefusal) -> [Node] {
        guard let sequence = node.sequence else {
            throw refusal(node, "a list is expected, such as [cart, stock]")
        }
        return Array(sequence)
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

    func path(_ node: Node) throws(ConfigurationRefusal) -> String {
        guard let text = node.string, !text.isEmpty else {
            throw refusal(node, "a path is expected, such as /var/lib/baton")
        }
        return text
    }

    func count(_ node: Node, _ range: ClosedRange<Int>) throws(ConfigurationRefusal) -> Int {
        guard let value = number(node), range.contains(value) else {
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

    func bytesOrZero(_ node: Node, _ range: ClosedRange<Int>) throws(ConfigurationRefusal) -> Int {
        number(node) == 0 ? 0 : try bytes(node, range)
    }

    /// `500ms`, `5s`, `2min`; a bare number is seconds.
    func span(_ node: Node) throws(ConfigurationRefusal) -> Moment.Span {
        guard let value = milliseconds(node), value > 0 else {
            throw refusal(node, "a time up to a day is expected, such as 500ms, 5s or 2min")
        }
        return .milliseconds(UInt64(value))
    }

    func spanOrZero(_ node: Node) throws(ConfigurationRefusal) -> Moment.Span {
        guard let value = milliseconds(node) else {
            throw refusal(node, "a time up to a day is expected, such as 0s, 5s or 2min")
        }
        return .milliseconds(UInt64(value))
    }

    /// A time from nothing to a day.
    private func milliseconds(_ node: Node) -> Int? {
        let units = ["ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000]
        let value: Int?
        if let seconds = number(node) {
            let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
            value = overflow ? nil : product
        } else {
            value = measure(node, units: units)
        }
        return value.flatMap { (0...86_400_000).contains($0) ? $0 : nil }
    }

    /// A decimal number. Not `node.int`: that knows base 60 too (`1:30`), and traps where such a number is
    /// too large.
    private func number(_ node: Node) -> Int? { node.string.flatMap { Int($0) } }

    private func measure(_ node: Node, units: [String: Int]) -> Int? {
        if let value = number(node) { return value }
        guard let text = node.string else { return nil }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Int(digits), let factor = units[String(unit)] else { return nil }
        let (value, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : value
    }

    // MARK: What is wrong

    func unknown(_ key: Key, _ known: String) -> ConfigurationRefusal {
        refusal(key.node, "the key '\(key.name)' is not known; known here: \(known)")
    }

    private func refusal(_ node: Node, _ text: String) -> ConfigurationRefusal {
        ConfigurationRefusal(description: "\(place(node)): \(text)")
    }

    private func place(_ node: Node) -> String {
        path + (node.mark.map { ":\($0.line)" } ?? "")
    }
}
