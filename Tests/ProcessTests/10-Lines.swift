// Line sockets: one line in is a message, one line out its reply.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("10 Lines") struct Lines {
        @Test("batond tells its service manager that it is ready, and stops in order")
        func readyAndStop() throws {
            let daemon = try TestDaemon(plugins: "ping")
            #expect(daemon.told.contains { $0.contains("READY=1") && $0.contains("1 service") })
            let host = try #require(try daemon.status("ping").pid)
            let witness = try Witness(pid_t(host))
            #expect(try daemon.stop() == .code(0))
            #expect(daemon.told.contains { $0.contains("STOPPING=1") })
            #expect(try witness.seesEnd())
            let left = try FileManager.default.subpathsOfDirectory(atPath: daemon.runtime.path)
                .filter { $0.hasSuffix(".sock") }
            #expect(left.isEmpty)
        }

        @Test("batond with no plugin at all is ready, and takes one by reload")
        func noPlugins() throws {
            let daemon = try TestDaemon()
            #expect(try daemon.client.status().decoded().services.isEmpty)
            try daemon.install(Products.image("ping"), as: "ping")
            try daemon.reloadBySignal()
            #expect(try daemon.lines("ping").ask("ping") == "pong")
            #expect(try daemon.status("ping").lastUpgrade?.verdict == .started)
        }

        @Test("A file called libping.so is the service ping")
        func libraryName() throws {
            let daemon = try TestDaemon(["libping": Products.image("ping")])
            #expect(try daemon.lines("ping").ask("ping") == "pong")
        }

        @Test("socat sends ping and prints pong")
        func socat() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let socket = daemon.runtime.serviceSocket("ping")
            let answer = try Tool.run(
                "socat", "-t5", "-", "UNIX-CONNECT:\(socket)", input: "ping\n")
            #expect(answer.output == "pong\n")
            #expect(answer.exit == .code(0))
        }

        @Test("What the service does not know, and an empty line, are answered by an error line")
        func errorLine() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let client = try daemon.lines("ping")
            #expect(try client.ask("pong").hasPrefix("-UNKNOWN "))
            #expect(try client.ask("").hasPrefix("-UNKNOWN "))
            #expect(try client.ask("ping") == "pong")
        }

        @Test("An empty line is an empty message, and any byte but newline goes through unchanged")
        func anyBytes() throws {
            let daemon = try TestDaemon(plugins: "echo-c")
            let client = try daemon.lines("echo-c")
            #expect(try client.ask("") == "")
            let bytes = (0...255).map { UInt8($0) }.filter { $0 != 10 }
            try client.send(bytes + [10])
            client.endInput()
            #expect(try client.rest() == bytes + [10])
        }

        @Test("After half-close every reply still comes, then the end")
        func halfClose() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let client = try daemon.lines("ping")
            try client.send(String(repeating: "ping\n", count: 1000))
            client.endInput()
            #expect(try client.remainingLines() == Array(repeating: "pong", count: 1000))
        }

        @Test("Half a line before the end is discarded, and was never a message")
        func halfALine() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let client = try daemon.lines("counter")
            try client.send("5\n7")
            client.endInput()
            #expect(try client.remainingLines() == ["5"])
            #expect(try daemon.lines("counter").ask("?") == "sum=5")
            #expect(try daemon.status("counter").appended == 2)
        }

        @Test("A line that comes byte by byte is one message")
        func byteByByte() throws {
            let daemon = try TestDaemon(plugins: "echo-c")
            let client = try daemon.lines("echo-c")
            for byte in "one\ntwo\n".utf8 { try client.send([byte]) }
            #expect(try client.lines(2) == ["one", "two"])
        }

        @Test("A line of a million bytes is a message; one beyond the limit is TOOBIG, and the end")
        func tooLong() throws {
            let daemon = try TestDaemon(plugins: "echo-c")
            let limit = 1 << 20
            let largest = String(repeating: "x", count: limit)
            #expect(try daemon.lines("echo-c").ask(largest) == largest)

            let client = try daemon.lines("echo-c")
            try client.send("before\n")
            #expect(try client.line() == "before")
            // The daemon may close before it has all of it.
            _ = try? client.send(String(repeating: "y", count: limit + 1) + "\nafter\n")
            let reply = try #require(try client.line())
            #expect(reply.hasPrefix("-TOOBIG "))
            #expect(try client.remainingLines().isEmpty)
            #expect(try daemon.status("echo-c").appended == 2)
        }

        @Test("A reply with a newline is BINARY on a line socket, and whole on baton.sock")
        func binaryReply() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            let reply = try client.ask("newline")
            #expect(reply.hasPrefix("-BINARY ") && reply.contains("baton.sock"))
            #expect(try client.ask("next") == "next")
            #expect(try daemon.call("faulty", "newline") == "two\nlines")
        }

        @Test("A service that replies nothing gives an empty line")
        func silent() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            #expect(try daemon.lines("faulty").ask("silent") == "")
        }

        @Test("A service's error reaches the client as CODE and text")
        func failure() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("fail BROKE it broke: mend it") == "-BROKE it broke: mend it")
            // The message counts as handled all the same.
            #expect(try client.ask("count") == "1")
        }

        @Test("A reply of a million bytes arrives; one beyond the limit is TOOBIG")
        func largeReply() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("reply 1000000") == String(repeating: "x", count: 1_000_000))
            #expect(try client.ask("reply 1048576").utf8.count == 1 << 20)
            #expect(try client.ask("reply 1048577").hasPrefix("-TOOBIG "))
            #expect(try client.ask("next") == "next")
            let many = "reply 300000\n"
            try client.send(String(repeating: many, count: 50))
            #expect(try client.lines(50).allSatisfy { $0.utf8.count == 300_000 })
            #expect(try daemon.status("faulty").restarts == 0)
        }

        @Test("A state of half a million bytes outlives its host and its daemon")
        func largeState() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("state 500000") == "state 500000")
            #expect(try client.ask("one") == "one")
            let host = try #require(try daemon.status("faulty").pid)
            _ = kill(pid_t(host), SIGKILL)
            #expect(try client.ask("count") == "2")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.lines("faulty").ask("count") == "3")
        }

        @Test("A service's socket is there for its owner and group only")
        func permissions() throws {
            let daemon = try TestDaemon(plugins: "ping")
            for socket in [
                daemon.runtime.serviceSocket("ping"), daemon.runtime.messageSocket,
                daemon.runtime.controlSocket,
            ] {
                let attributes = try FileManager.default.attributesOfItem(atPath: socket)
                let mode = try #require(attributes[.posixPermissions] as? NSNumber)
                #expect(mode.intValue & 0o007 == 0, "\(socket)")
            }
        }
    }
}
