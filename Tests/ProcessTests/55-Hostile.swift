// A plugin that attacks: batond and its neighbours stay, and each message has its one reply.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("55 Hostile") struct Hostile {
        let daemon: TestDaemon
        let client: LineClient

        init() throws {
            daemon = try TestDaemon(plugins: "hostile", "ping")
            client = try daemon.lines("hostile")
            #expect(try client.ask("first") == "first")
        }

        private func expectWell(sourceLocation: SourceLocation = #_sourceLocation) throws {
            #expect(try daemon.call("ping", "ping") == "pong", sourceLocation: sourceLocation)
            #expect(try client.ask("last") == "last", sourceLocation: sourceLocation)
            #expect(try daemon.status("ping").restarts == 0, sourceLocation: sourceLocation)
            #expect(try daemon.stop() == .code(0), sourceLocation: sourceLocation)
        }

        @Test(
            "A plugin reaches neither batond's signals, limits and priority, nor makes a process",
            arguments: ["sigio", "prlimit", "sched", "fork"])
        func reach(attack: String) throws {
            #expect(try client.ask(attack) == "denied")
            // A new client needs a descriptor.
            #expect(try daemon.lines("ping").ask("ping") == "pong")
            #expect(try daemon.status("hostile").restarts == 0)
            try expectWell()
        }

        @Test("With a limit of memory a plugin makes no thousand threads either")
        func threads() throws {
            let limited = try TestDaemon(
                plugins: "hostile", configuration: "limits: { host_memory: 256 MiB }")
            let client = try limited.lines("hostile")
            #expect(try client.ask("threads") == "denied")
            #expect(try limited.status("hostile").restarts == 0)
            try expectWell()
        }

        @Test("A plugin changes no file's mode, by no number that the kernel has for it")
        func mode() throws {
            let file = try daemon.directory.write(Data("some".utf8), "kept")
            #expect(try client.ask("chmod \(file)") == "denied")
            let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions]
            #expect(mode as? Int == 0o755)
            try expectWell()
        }

        @Test(
            "A large reply that is no memory, a closed channel: the host ends, the message is POISON",
            arguments: ["blocking-reply", "close-channel"])
        func contract(attack: String) throws {
            try client.send(attack + "\n")
            #expect(try daemon.call("ping", "ping") == "pong")
            let reply = try #require(try client.line())
            #expect(reply.hasPrefix("-POISON ") && reply.contains("message 2"), "\(reply)")
            let status = try daemon.status("hostile")
            #expect(status.restarts == 3 && status.deadLetters == 1)
            try expectWell()
        }

        @Test("A forged word of what is in hand blames no message but the one that ends its host")
        func blame() throws {
            try client.send("inhand\n" + (1...5).map { "\($0)\n" }.joined())
            let reply = try #require(try client.line())
            #expect(reply.hasPrefix("-POISON ") && reply.contains("message 2"), "\(reply)")
            #expect(try client.lines(5) == (1...5).map { "\($0)" })
            let status = try daemon.status("hostile")
            #expect(status.state == .running && status.deadLetters == 1)
            try expectWell()
        }

        @Test("A log line has no escape sequence for the operator's terminal")
        func escape() throws {
            #expect(try client.ask("log-escape") == "log-escape")
            try wait(for: "the log line") { daemon.logText.contains("[31mred") }
            #expect(!daemon.logText.contains("\u{1B}"))
            try expectWell()
        }
    }
}
