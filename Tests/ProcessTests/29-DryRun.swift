// Reloads that only look, and reloads that wait.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("29 Dry run") struct DryRuns {
        private func dryRun(_ daemon: TestDaemon) throws -> [String: ServiceVerdict] {
            let verdicts = try daemon.client.reload(dryRun: true).decoded()
            return Dictionary(uniqueKeysWithValues: verdicts.map { ($0.service, $0) })
        }

        /// Everything that is kept, and every socket.
        private func files(_ daemon: TestDaemon) throws -> [String] {
            let kept = try FileManager.default.subpathsOfDirectory(atPath: daemon.state)
            return try kept + FileManager.default.subpathsOfDirectory(atPath: daemon.runtime.path)
        }

        @Test("A dry run says what a reload would do to each service, and changes nothing")
        func everything() throws {
            let daemon = try TestDaemon(
                [
                    "counter": Products.image("counter"), "faulty": Products.image("faulty"),
                    "gone": Products.image("ping"), "same": Products.image("stamp"),
                    "unable": Products.image("faulty"), "cut": Products.image("ping"),
                ], configuration: "durability: none\n")
            for service in ["counter", "faulty", "unable"] {
                #expect(try daemon.client.send(service, Array("1".utf8)) == 1)
            }
            try wait(for: "their states") {
                try daemon.client.status().decoded().services.allSatisfy { $0.waiting == 0 }
            }
            let before = try daemon.client.status().decoded().services
            let filesBefore = try files(daemon)

            try daemon.install(Products.image("counter-2"), as: "counter")
            try daemon.install(Products.image("faulty-abi"), as: "faulty")
            // It would load, but does not take the state that there is.
            try daemon.install(Products.image("faulty-migration"), as: "unable")
            try daemon.install(Products.bytes("ping").prefix(5000), as: "cut")
            try daemon.install(Products.image("ping"), as: "new")
            try daemon.install(Data("nothing".utf8), as: "no-image")
            try daemon.uninstall("gone")
            try daemon.configure("durability: commit\n")
            let verdicts = try dryRun(daemon)
            #expect(
                verdicts.mapValues(\.verdict.rawValue) == [
                    "counter": "would_upgrade", "faulty": "refused", "gone": "would_remove",
                    "same": "current", "unable": "refused", "cut": "refused", "new": "would_start",
                    "no-image": "refused",
                ])
            #expect(verdicts["counter"]?.from == "1" && verdicts["counter"]?.to == "2")
            #expect(verdicts["faulty"]?.reason?.contains("ABI") == true)
            #expect(verdicts["unable"]?.reason?.contains("cannot migrate") == true)
            #expect(verdicts["cut"]?.reason?.contains("cut short") == true)

            // Nothing has changed: no host, no count, no file, no setting.
            let after = try daemon.client.status().decoded().services
            #expect(after == before)
            #expect(try files(daemon) == filesBefore)
            try wait(for: "the candidates' end") {
                ProcessTable.children(of: daemon.pid).count == 6
            }
            let command = try daemon.baton("reload", "--dry-run")
            #expect(command.exit == .code(1))
            #expect(command.output.contains("would"), "\(command.output)")

            // And the reload does what was said.
            let reload = try daemon.reload()
            #expect(
                reload.mapValues(\.verdict.rawValue) == [
                    "counter": "upgraded", "faulty": "refused", "gone": "removed",
                    "same": "current", "unable": "refused", "cut": "refused", "new": "started",
                    "no-image": "refused",
                ])
            #expect(try daemon.call("counter", "?").hasPrefix("sum=1 "))
        }

        @Test("A dry run refuses a wrong configuration, and does not take a right one")
        func configuration() throws {
            let daemon = try TestDaemon(plugins: "ping", configuration: "durability: none\n")
            try daemon.configure("durability: sometimes\n")
            let refused = try daemon.baton("reload", "--dry-run")
            #expect(refused.exit == .code(1))
            #expect(refused.error.contains("batond.yaml:1"), "\(refused.error)")
            try daemon.configure("durability: interval\n")
            #expect(try daemon.baton("reload", "--dry-run").exit == .code(0))
            #expect(try daemon.status("ping").durability == "none")
        }

        @Test("Messages are handled while a dry run tries a candidate that hangs")
        func hanging() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { prepare_timeout: 1s }\n")
            try daemon.install(Products.image("faulty-hang"), as: "faulty")
            let control = daemon.client
            let run = Background { try control.reload(dryRun: true).decoded() }
            let client = try daemon.lines("faulty")
            while !run.isOver { #expect(try client.ask("x") == "x") }
            #expect(try run.value().map(\.verdict) == [.refused])
            #expect(try daemon.status("faulty").restarts == 0)
        }

        @Test("A reload that waits tells the last word of each; others do not wait for it")
        func waiting() throws {
            let daemon = try TestDaemon(configuration: "probation: 2s\n")
            _ = try daemon.reload(try Trial.first.image(), as: "well")
            _ = try daemon.reload(try Trial.first.image(), as: "ill")
            // They have to run before they can be upgraded, rather than started.
            for service in ["well", "ill"] { _ = try daemon.call(service, "sum 1") }
            try daemon.install(Trial.second.image(), as: "well")
            try daemon.install(Trial.second("crash-after 300").image(), as: "ill")
            let control = daemon.client
            let patient = Background { try control.reload(wait: true).decoded() }
            try wait(for: "the upgrades") {
                try daemon.status("well").version == "2" && daemon.status("ill").version == "2"
            }
            _ = try daemon.call("ill", "sum 1")
            // Its own reload is over; only its answer is not.
            #expect(try daemon.reload()["well"]?.verdict == .current)
            #expect(!patient.isOver)
            let verdicts = try patient.value()
            #expect(verdicts.map(\.service) == ["ill", "well"])
            #expect(verdicts.map(\.verdict.rawValue) == ["rolled_back", "upgraded"])
            #expect(try daemon.call("ill", "version") == "1")
        }
    }
}
