// EXPLAIN and `baton explain`: what a service is doing, and what it waits for.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("17 Explain") struct Explained {
        let daemon: TestDaemon

        init() throws {
            daemon = try TestDaemon(plugins: "faulty")
        }

        private func explain(_ service: String = "faulty") throws -> ServiceExplanation {
            try daemon.client.explain(service).decoded()
        }

        @Test("At rest it does nothing, and waits for messages")
        func rest() throws {
            let explanation = try explain()
            #expect(explanation.service == "faulty" && explanation.state == .running)
            #expect(explanation.doing.hasPrefix("nothing"), "\(explanation)")
            #expect(explanation.waitsFor == "messages")
            #expect(explanation.message == nil && explanation.sinceMicroseconds == nil)
        }

        @Test("The message in hand is named, and for how long")
        func inHand() throws {
            let client = try daemon.lines("faulty")
            try client.send("sleep 3000\n")
            try wait(for: "the message in hand") { try explain().message == 1 }
            let first = try explain()
            #expect(first.doing.contains("message 1"), "\(first)")
            let later = try explain()
            let since = try #require(first.sinceMicroseconds)
            #expect(try #require(later.sinceMicroseconds) >= since)
            #expect(since < 60_000_000)
            let shown = try daemon.baton("explain", "faulty")
            #expect(shown.exit == .code(0), "\(shown.error)")
            #expect(shown.output.contains("message 1"), "\(shown.output)")
            #expect(try client.line() == "slept")
        }

        @Test("Suspended by hand, it tells how to go on, and how much waits")
        func suspended() throws {
            try daemon.client.change(.suspend, "faulty")
            _ = try daemon.client.send("faulty", Array("hello".utf8))
            let explanation = try explain()
            #expect(explanation.state == .suspended)
            #expect(explanation.waitsFor?.contains("baton resume faulty") == true)
            #expect(explanation.lines.contains { $0.hasPrefix("1 message") }, "\(explanation)")
        }

        @Test("In an upgrade the phase is told, and what that waits for")
        func upgrading() throws {
            let daemon = try TestDaemon()
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            let client = try daemon.lines("trial")
            try daemon.occupy("trial", client, with: "sleep 2000")
            let image = try Trial.second.file(in: daemon.directory)
            let upgrade = Background { [client = daemon.client] in
                try client.upgrade("trial", image: image).decoded()
            }
            try wait(for: "the suspension") {
                try daemon.client.explain("trial").decoded().doing.contains("suspend")
            }
            let explanation = try daemon.client.explain("trial").decoded()
            #expect(explanation.state == .upgrading)
            #expect(explanation.waitsFor?.contains("message 1") == true, "\(explanation)")
            #expect(try client.line() == "slept")
            #expect(try upgrade.value().verdict == .upgraded)
        }

        @Test("A stopped service tells why, and one that is not there is an error")
        func stopped() throws {
            try daemon.install(Data("no image".utf8), as: "broken")
            _ = try daemon.client.reload()
            let explanation = try explain("broken")
            #expect(explanation.state == .stopped)
            #expect(explanation.doing.hasPrefix("it is stopped: "), "\(explanation)")
            #expect(try daemon.baton("explain", "nobody").exit == .code(4))
        }
    }
}
