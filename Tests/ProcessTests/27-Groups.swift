// Services that stand and fall together: one_for_all and rest_for_one.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("27 Groups") struct Groups {
        private static let names = ["a", "b", "c"]

        /// A daemon with the services a, b and c in one group, and `lone` in none.
        private static func start(_ strategy: String, _ more: String = "") throws -> TestDaemon {
            let images = (names + ["lone"]).map { ($0, Products.image("faulty")) }
            let daemon = try TestDaemon(
                Dictionary(uniqueKeysWithValues: images), configuration: group(strategy, more))
            for name in names { #expect(try daemon.call(name, "first") == "first") }
            return daemon
        }

        private static func group(_ strategy: String, _ more: String = "") -> String {
            "groups: { shop: { strategy: \(strategy), services: [a, b, c] \(more) } }\n"
        }

        private func hosts(_ daemon: TestDaemon) throws -> [String: Int] {
            var hosts: [String: Int] = [:]
            for service in try daemon.client.status().decoded().services {
                hosts[service.name] = service.pid
            }
            return hosts
        }

        private func killHost(of service: String, _ daemon: TestDaemon) throws {
            let host = try #require(try daemon.status(service).pid)
            _ = kill(pid_t(host), SIGKILL)
        }

        /// Waits until exactly `changed` have other hosts than `before`, and everyone runs.
        private func expect(
            _ changed: [String], since before: [String: Int], _ daemon: TestDaemon,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            var now: [String: Int] = [:]
            try wait(for: "other hosts of \(changed)") {
                now = try hosts(daemon)
                return changed.allSatisfy { now[$0] != nil && now[$0] != before[$0] }
            }
            for name in before.keys where !changed.contains(name) {
                #expect(now[name] == before[name], "\(name)", sourceLocation: sourceLocation)
            }
            for name in Self.names {
                #expect(try daemon.call(name, "again") == "again", sourceLocation: sourceLocation)
            }
        }

        /// The places of `texts` in the log, each behind the one before.
        private func expectInOrder(_ texts: [String], _ daemon: TestDaemon) throws {
            var rest = daemon.logText[...]
            for text in texts {
                let found = try #require(rest.range(of: text), "\(text)\n\(daemon.logText)")
                rest = rest[found.upperBound...]
            }
        }

        @Test(
            "one_for_all: all are stopped, the last one first, and started in order; their state stays"
        )
        func oneForAll() throws {
            let daemon = try Self.start("one_for_all")
            let before = try hosts(daemon)
            try killHost(of: "b", daemon)
            try expect(["a", "b", "c"], since: before, daemon)
            try expectInOrder(
                [
                    "b: host ended", "c: stopped with its group", "a: stopped with its group",
                    "a: its host is started again", "b: its host is started again",
                    "c: its host is started again",
                ], daemon)
            for name in Self.names { #expect(try daemon.call(name, "count") == "2") }
        }

        @Test("rest_for_one: those behind it")
        func restForOne() throws {
            let daemon = try Self.start("rest_for_one")
            let before = try hosts(daemon)
            try killHost(of: "b", daemon)
            try expect(["b", "c"], since: before, daemon)
            let later = try hosts(daemon)
            try killHost(of: "c", daemon)
            try expect(["c"], since: later, daemon)
        }

        @Test(
            "A member finishes the message in hand; one that takes too long is ended without blame")
        func busy() throws {
            let daemon = try Self.start("one_for_all")
            let client = try daemon.lines("c")
            try daemon.occupy("c", client, with: "sleep 500")
            try client.send("next\n")
            try killHost(of: "a", daemon)
            #expect(try client.lines(2) == ["slept", "next"])
            #expect(try daemon.call("c", "count") == "3")

            try daemon.configure(
                Self.group("one_for_all") + "limits: { suspend_timeout: 200ms, attempts: 1 }\n")
            #expect(try daemon.baton("reload").exit == .code(0))
            try daemon.occupy("c", client, with: "sleep 1000")
            try killHost(of: "a", daemon)
            // With one attempt allowed, any blame would make it a dead letter.
            #expect(try client.line() == "slept")
            #expect(try daemon.status("c").deadLetters == 0)
        }

        @Test(
            "Too many deaths in the group's period: all stop, say why, and accept; resume starts them"
        )
        func surrender() throws {
            let daemon = try Self.start("one_for_all", ", restarts: 1, restart_period: 1min")
            let before = try hosts(daemon)
            try killHost(of: "a", daemon)
            try expect(["a", "b", "c"], since: before, daemon)
            try killHost(of: "c", daemon)
            for name in Self.names {
                try wait(for: "the stop of \(name)") { try daemon.status(name).state == .stopped }
                let reason = try daemon.status(name).reason ?? ""
                #expect(reason.contains("shop") && reason.contains("2 times"), "\(reason)")
            }
            #expect(try daemon.call("lone", "well") == "well")
            #expect(ProcessTable.children(of: daemon.pid).count == 1)
            for name in Self.names {
                #expect(try daemon.client.send(name, Array("kept".utf8)) == 3)
            }
            for name in Self.names { try daemon.client.change(.resume, name) }
            for name in Self.names { #expect(try daemon.call(name, "count") == "3") }
        }

        @Test("A transient member that ends normally concerns nobody else")
        func normalEnd() throws {
            let daemon = try TestDaemon(
                ["a": Products.image("faulty"), "b": Products.image("faulty")],
                configuration: """
                    groups: { pair: { strategy: one_for_all, services: [a, b] } }
                    services: { a: { restart: transient, probation: 0s } }
                    """)
            let before = try hosts(daemon)
            try daemon.send("a", "exit")
            try wait(for: "the stop") { try daemon.status("a").state == .stopped }
            #expect(try hosts(daemon)["b"] == before["b"])
            // The other one's death does not start it.
            try killHost(of: "b", daemon)
            try wait(for: "another host") { try hosts(daemon)["b"] ?? before["b"] != before["b"] }
            #expect(try daemon.status("a").state == .stopped)
        }

        @Test("A reload makes groups and ends them")
        func reload() throws {
            let daemon = try Self.start("one_for_all")
            try daemon.configure("durability: commit\n")
            try daemon.reloadBySignal()
            var before = try hosts(daemon)
            try killHost(of: "a", daemon)
            try expect(["a"], since: before, daemon)
            try daemon.configure(Self.group("rest_for_one"))
            try daemon.reloadBySignal()
            before = try hosts(daemon)
            try killHost(of: "b", daemon)
            try expect(["b", "c"], since: before, daemon)
            // A member that is removed is missed by nobody.
            try daemon.uninstall("c")
            #expect(try daemon.reload()["c"]?.verdict.rawValue == "removed")
            before = try hosts(daemon)
            try killHost(of: "a", daemon)
            try wait(for: "other hosts") {
                let now = try hosts(daemon)
                return ["a", "b"].allSatisfy { now[$0] != nil && now[$0] != before[$0] }
            }
        }

        @Test("A member that fails in its probation is rolled back; the others notice nothing")
        func rollback() throws {
            let daemon = try TestDaemon(
                ["b": Products.image("faulty")],
                configuration: "groups: { pair: { strategy: one_for_all, services: [b] } }\n")
            _ = try daemon.reload(Trial.first.image(), as: "a")
            try daemon.configure("groups: { pair: { strategy: one_for_all, services: [a, b] } }\n")
            #expect(try daemon.baton("reload").exit == .code(0))
            #expect(try daemon.call("a", "sum 1") == "1")
            let before = try hosts(daemon)
            #expect(
                try daemon.reload(Trial.second("crash-after 100").image(), as: "a").verdict
                    == .upgraded)
            #expect(try daemon.call("a", "sum 2") == "3")
            try wait(for: "the rollback") { try daemon.status("a").version == "1" }
            #expect(try daemon.call("a", "sum") == "3")
            #expect(try hosts(daemon)["b"] == before["b"])
        }

        @Test("Before a group stops, the version before of the member at fault is tried")
        func rollbackInsteadOfSurrender() throws {
            let daemon = try Self.start("one_for_all", ", restarts: 0")
            try daemon.configure(Self.group("one_for_all", ", restarts: 0") + "probation: 0s\n")
            let image = try Products.bytes("faulty") + Data("2".utf8)
            #expect(try daemon.reload(image, as: "b").verdict == .upgraded)
            let digest = try daemon.status("b").digest
            let before = try hosts(daemon)
            try killHost(of: "b", daemon)
            try wait(for: "the rollback") { try daemon.status("b").digest != digest }
            #expect(try daemon.call("b", "count") == "1")
            let after = try hosts(daemon)
            #expect(after["a"] == before["a"] && after["c"] == before["c"])
            // The next time there is none left.
            try killHost(of: "b", daemon)
            for name in Self.names {
                try wait(for: "the stop of \(name)") { try daemon.status(name).state == .stopped }
            }
        }

        @Test("Members are upgraded while the group is started again, and the other way round")
        func upgrades() throws {
            let daemon = try Self.start("one_for_all", ", restarts: 1000, restart_period: 100ms")
            try daemon.configure(
                Self.group("one_for_all", ", restarts: 1000, restart_period: 100ms")
                    + "probation: 0s\nlimits: { attempts: 1000 }\n")
            #expect(try daemon.baton("reload").exit == .code(0))
            let image = try Products.bytes("faulty")
            let client = try daemon.lines("c")
            var upgrades = 0
            for round in 1...20 {
                try daemon.install(image + Data("\(round)".utf8), as: "c")
                let control = daemon.client
                let reload = Background { try control.reload().decoded() }
                try client.send(String(repeating: "x\n", count: 50))
                usleep(UInt32(round) * 1000)
                if let host = try daemon.status(Self.names[round % 3]).pid {
                    _ = kill(pid_t(host), SIGKILL)
                }
                let verdict = try #require(try reload.value().first { $0.service == "c" })
                if verdict.verdict == .upgraded { upgrades += 1 }
                #expect(try client.lines(50) == Array(repeating: "x", count: 50))
            }
            #expect(try daemon.call("c", "count") == "1001")
            #expect(upgrades > 0)
            for name in Self.names { #expect(try daemon.call(name, "well") == "well") }
        }

        @Test("Members killed again and again under load, some while they start: nothing is lost")
        func chaos() throws {
            let daemon = try Self.start("one_for_all", ", restarts: 1000, restart_period: 100ms")
            // kill -9 looks like the fault of the message in hand.
            try daemon.configure(
                Self.group("one_for_all", ", restarts: 1000, restart_period: 100ms")
                    + "limits: { attempts: 1000 }\n")
            #expect(try daemon.baton("reload").exit == .code(0))
            let clients = try Self.names.map { try daemon.lines($0) }
            var sent = 0
            for round in 1...25 {
                for client in clients { try client.send(String(repeating: "x\n", count: 100)) }
                sent += 100
                let name = Self.names[round % 3]
                if let host = try daemon.status(name).pid { _ = kill(pid_t(host), SIGKILL) }
                usleep(UInt32(round) * 1500)
            }
            for client in clients {
                #expect(try client.lines(sent) == Array(repeating: "x", count: sent))
            }
            for name in Self.names {
                let letters = try daemon.status(name).deadLetters
                #expect(letters == 0)
                #expect(try daemon.call(name, "count") == "\(sent + 1)")
            }
        }
    }
}
