// The configuration file: what it may say, what holds where it says nothing, and how its mistakes
// are told.

import BatonCore
import BatonSupervisor
import Testing

@Suite("The configuration file")
struct ConfigurationTests {
    private static let defaults = Configuration(
        directories: Configuration.Directories(plugins: "/p", state: "/s", runtime: "/r"),
        hostProgram: "/baton-host")

    private func parse(_ text: String) throws(ConfigurationRefusal) -> Configuration {
        try ConfigurationFile.parse(text, path: "batond.yaml", into: Self.defaults)
    }

    private func service(_ name: String) throws -> ServiceName {
        try #require(ServiceName(name))
    }

    @Test(
        "Without a word everything is as by default", arguments: ["", "# nothing\n", "services:\n"])
    func empty(text: String) throws {
        let configuration = try parse(text)
        #expect(configuration.limits == Limits())
        #expect(configuration.directories == Self.defaults.directories)
        let settings = try configuration.settings(of: service("any"))
        #expect(
            settings
                == ServiceSettings(
                    durability: .commit, restart: .permanent, probation: .seconds(10), rehearse: 0,
                    rehearseAllow: 0, restarts: 5, restartPeriod: .seconds(30)))
    }

    @Test("What is said for a service holds for it alone; the rest is as for all")
    func settings() throws {
        let configuration = try parse(
            """
            durability: interval
            probation: 1min
            limits: { restarts: 7, restart_period: 10s }
            services:
              counter:
                durability: commit
                restart: transient
                probation: 0s
                rehearse: 100
                rehearse_allow: 2
                restarts: 1
                restart_period: 5
              ping: { rehearse: 3 }
            """)
        #expect(
            try configuration.settings(of: service("counter"))
                == ServiceSettings(
                    durability: .commit, restart: .transient, probation: .seconds(0), rehearse: 100,
                    rehearseAllow: 2, restarts: 1, restartPeriod: .seconds(5)))
        #expect(
            try configuration.settings(of: service("ping"))
                == ServiceSettings(
                    durability: .interval, restart: .permanent, probation: .seconds(60),
                    rehearse: 3,
                    rehearseAllow: 0, restarts: 7, restartPeriod: .seconds(10)))
    }

    @Test("Every limit can be set")
    func limits() throws {
        let limits = try parse(
            """
            limits:
              message_bytes: 2 MiB
              state_bytes: 65536
              mailbox_bytes: 2 GiB
              connections: 7
              connections_per_uid: 5
              clients_bytes: 8 MiB
              replies_bytes: 64 KiB
              replies_pending: 9
              prepare_timeout: 1s
              suspend_timeout: 2s
              migrate_timeout: 3s
              handle_timeout: 0
              drain_timeout: 500ms
              stop_timeout: 5s
              shutdown_timeout: 6s
              stalled_client_timeout: 1h
              restarts: 0
              restart_period: 7s
              probation_bytes: 1 MiB
              host_memory: 512 MiB
              attempts: 4
            """
        ).limits
        var expected = Limits()
        expected.messageBytes = 2 << 20
        expected.stateBytes = 65536
        expected.mailboxBytes = 2 << 30
        expected.connections = 7
        expected.connectionsPerUser = 5
        expected.clientsBytes = 8 << 20
        expected.repliesBytes = 64 << 10
        expected.repliesPending = 9
        expected.prepareTimeout = .seconds(1)
        expected.suspendTimeout = .seconds(2)
        expected.migrateTimeout = .seconds(3)
        expected.handleTimeout = .seconds(0)
        expected.drainTimeout = .milliseconds(500)
        expected.stopTimeout = .seconds(5)
        expected.shutdownTimeout = .seconds(6)
        expected.stalledClientTimeout = .seconds(3600)
        expected.restarts = 0
        expected.restartPeriod = .seconds(7)
        expected.probationBytes = 1 << 20
        expected.hostMemory = 512 << 20
        expected.attempts = 4
        #expect(limits == expected)
        #expect(try parse("limits: { host_memory: 0 }").limits.hostMemory == 0)
    }

    @Test("A group has its members in order, and limits of its own or those of all")
    func groups() throws {
        let configuration = try parse(
            """
            groups:
              shop: { strategy: one_for_all, services: [cart, stock] }
              mail:
                strategy: rest_for_one
                services:
                  - queue
                  - sender
                restarts: 2
                restart_period: 1min
            limits: { restarts: 9 }
            """)
        #expect(
            try configuration.groups == [
                Group(
                    name: "shop", strategy: .oneForAll,
                    services: [service("cart"), service("stock")], restarts: 9,
                    restartPeriod: .seconds(30)),
                Group(
                    name: "mail", strategy: .restForOne,
                    services: [service("queue"), service("sender")], restarts: 2,
                    restartPeriod: .seconds(60)),
            ])
        #expect(try configuration.group(of: service("sender"))?.name == "mail")
        #expect(try configuration.group(of: service("other")) == nil)
        let names = try ["cart", "stock", "queue", "sender"].map(service)
        try configuration.check(against: Set(names + [service("other")]))
        let refusal = #expect(throws: ConfigurationRefusal.self) {
            try configuration.check(against: Set(names.dropLast()))
        }
        #expect(
            refusal?.description.hasPrefix("batond.yaml:7: there is no service 'sender'") == true)
    }

    /// What is wrong, the line it stands in, and a word of what would be right.
    private static let mistakes: [(text: String, line: Int, advice: String)] = [
        ("durabilty: commit", 1, "known here: plugins"),
        ("durability: maybe", 1, "commit, interval or none"),
        ("log_level: loud", 1, "debug, info"),
        ("probation: soon", 1, "such as 0s, 5s"),
        ("probation: -1s", 1, "such as 0s, 5s"),
        ("plugins: [a, b]", 1, "a path"),
        ("limits:\n  restarts: many", 2, "from 0 to 1000"),
        ("limits:\n  attempts: 0", 2, "from 1 to 1000"),
        ("limits:\n  suspend_timeot: 5s", 2, "suspend_timeout"),
        ("limits:\n  drain_timeout: 0s", 2, "such as 500ms"),
        ("limits:\n  prepare_timeout: 25h", 2, "up to a day"),
        ("limits:\n  prepare_timeout: 9223372036854775807", 2, "up to a day"),
        ("limits:\n  message_bytes: 1 TiB", 2, "64 KiB or 1 MiB"),
        ("limits:\n  mailbox_bytes: 1", 2, "bytes from"),
        ("limits:\n  host_memory: 1 KiB", 2, "bytes from"),
        ("limits:\n  - 1", 2, "key: value"),
        ("services:\n  Ping: { durability: none }", 2, "[a-z][a-z0-9-]{0,62}"),
        ("services:\n  ping:\n    restart: sometimes", 3, "permanent, transient or temporary"),
        ("services:\n  ping:\n    rehearse: -1", 3, "from 0 to"),
        ("services:\n  ping:\n    drability: none", 3, "known here: durability"),
        (
            "groups:\n  a: { strategy: one_for_one, services: [b] }", 2,
            "one_for_all or rest_for_one"
        ),
        ("groups:\n  a:\n    services: [b]", 2, "add a strategy"),
        ("groups:\n  a:\n    strategy: one_for_all", 2, "add the group's services"),
        ("groups:\n  a: { strategy: one_for_all, services: b }", 2, "a list"),
        ("groups:\n  a:\n    strategy: one_for_all\n    services: [b, c,\n      b]", 5, "this one"),
        (
            "groups:\n  a: { strategy: one_for_all, services: [b] }\n"
                + "  c: { strategy: one_for_all, services: [b] }", 3, "the group a already"
        ),
        ("groups:\n  A: { strategy: one_for_all, services: [b] }", 2, "[a-z]"),
        ("groups:\n  a:\n    members: [b]", 3, "known here: strategy"),
        ("log_level: info\nlog_level: info", 1, "keep one"),
        ("limits:\n  restarts: 1\n  restarts: 2", 2, "keep one"),
        ("limits: {\nrestarts: 1\n", 3, "no YAML"),
        ("limits:\n\trestarts: 1", 2, "no YAML"),
        ("durability: commit\n---\ndurability: none", 2, "no YAML"),
    ]

    @Test("A mistake is told with file, line and what would be right", arguments: mistakes)
    func mistake(text: String, line: Int, advice: String) {
        let refusal = #expect(throws: ConfigurationRefusal.self) { try parse(text) }
        let description = refusal?.description ?? ""
        #expect(description.hasPrefix("batond.yaml:\(line): "), "\(description)")
        #expect(description.contains(advice), "\(description)")
    }

    @Test("Only a regular file that others may not write is read")
    func files() throws {
        let refusal = #expect(throws: ConfigurationRefusal.self) {
            try ConfigurationFile.read("/dev/null", mayBeMissing: true, into: Self.defaults)
        }
        #expect(refusal?.description == "/dev/null is not a regular file")
        let missing = "/nonexistent/batond.yaml"
        let configuration = try ConfigurationFile.read(
            missing, mayBeMissing: true, into: Self.defaults)
        #expect(configuration.limits == Limits())
        #expect(throws: ConfigurationRefusal.self) {
            try ConfigurationFile.read(missing, mayBeMissing: false, into: Self.defaults)
        }
    }
}
