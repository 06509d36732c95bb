// Clients that want too much: what they send is not kept, what they do not read is bounded, and their
// neighbours hardly notice.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("57 Hostile clients") struct HostileClients {
        let daemon: TestDaemon
        let neighbour: Neighbour
        /// Before anybody did anything.
        private let alone: Duration
        private let before: Int

        init() throws {
            daemon = try TestDaemon(
                plugins: "faulty", "ping",
                configuration: "limits: {connections: 600, connections_per_uid: 600, "
                    + "clients_bytes: 32 MiB, stalled_client_timeout: 3s}\n")
            neighbour = try Neighbour(daemon, "faulty", "mine", "mine")
            alone = try neighbour.median(asking: 300)
            before = try ProcessTable.peakKibibytes(daemon.pid)
        }

        /// - Parameter allowed: KiB that batond may have grown at most.
        private func expectWell(
            within allowed: Int, beside: Duration, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let grown = try ProcessTable.peakKibibytes(daemon.pid) - before
            print("memory +\(grown) KiB; a neighbour's median \(alone), beside them \(beside)")
            #expect(grown < allowed, sourceLocation: sourceLocation)
            // What else the machine does changes meanwhile.
            let after = try neighbour.median(asking: 300)
            #expect(beside < max(alone, after) * 50, sourceLocation: sourceLocation)
            #expect(try daemon.call("ping", "ping") == "pong", sourceLocation: sourceLocation)
            #expect(try daemon.status("faulty").restarts == 0, sourceLocation: sourceLocation)
        }

        private var counted: ClientsStatus {
            get throws { try #require(try daemon.client.status().decoded().clients) }
        }

        /// Sends `opening`, and then the same byte, up to 10 GB, until it is cut off.
        /// - Returns: how much it got rid of, and what it was told.
        private static func flood(_ path: String, opening: String) throws -> (
            sent: Int, said: String
        ) {
            let client = try LineClient(path: path)
            try client.send(opening)
            let part = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
            var sent = 0
            while sent < 10_000_000_000, (try? client.send(part)) != nil { sent += part.count }
            return (sent, String(decoding: try client.rest().prefix(200), as: UTF8.self))
        }

        @Test("A line or an argument of 10 GB is TOOBIG as soon as it can be known, and not kept")
        func tenGigabytes() throws {
            let (lines, commands) = (
                daemon.runtime.serviceSocket("faulty"), daemon.runtime.messageSocket
            )
            let floods = Background {
                try [
                    (lines, ""), (commands, ""), (commands, "CALL faulty "),
                    (commands, "*3\r\n$4\r\nCALL\r\n$6\r\nfaulty\r\n$10000000000\r\n"),
                    (commands, "*1000000000\r\n"),
                ].map { try Self.flood($0.0, opening: $0.1) }
            }
            let beside = try neighbour.median(asking: 100_000) { floods.isOver }
            for flood in try floods.value() {
                #expect(flood.said.hasPrefix("-TOOBIG "), "\(flood.said)")
                #expect(flood.sent < 8 << 20)
            }
            #expect(try counted.closedTooBig == 5)
            try expectWell(within: 16 << 10, beside: beside)
        }

        @Test(
            "Lengths that cannot be, nested arrays, what is no RESP: PROTOCOL, nothing is allocated"
        )
        func absurd() throws {
            let nested = String(repeating: "*1\r\n", count: 10_000)
            let requests = [
                "*2\r\n$4\r\nPING\r\n$9223372036854775808\r\n",
                "*2\r\n$4\r\nPING\r\n$9223372036854775807\r\n", "*2\r\n$4\r\nPING\r\n$-2\r\n",
                "*9223372036854775807\r\n", "*9223372036854775808\r\n", "*-2\r\n",
                "*99999999999999999999999999999999\r\n", "*1\r\n$-1\r\n", nested,
                "*1\r\n:1\r\n", "\u{1}\u{2}\u{3}\n", "*\r\n",
                "*1\r\n$4\r\nPINGxx",
            ]
            for request in requests {
                let client = try LineClient(path: daemon.runtime.messageSocket)
                // It may be cut off before it has said everything.
                _ = try? client.send(request)
                let said = String(decoding: try client.rest(), as: UTF8.self)
                let shown = request.prefix(40).debugDescription
                #expect(
                    said.hasPrefix("-PROTOCOL ") || said.hasPrefix("-ERR "), "\(shown): \(said)")
                #expect(said.contains("-PROTOCOL "), "\(shown): \(said)")
            }
            #expect(try counted.closedProtocol == requests.count)
            // What comes by chance is refused or not understood, and closed or not; batond stays.
            var random = SystemRandomNumberGenerator()
            for _ in 1...200 {
                let client = try LineClient(path: daemon.runtime.messageSocket)
                _ = try? client.send(
                    (1...1000).map { _ in UInt8.random(in: 0...255, using: &random) })
                client.endInput()
                _ = try client.rest()
            }
            try expectWell(within: 8 << 10, beside: try neighbour.median(asking: 300))
        }

        @Test("Half a message, then the end: discarded, counted, and nothing was accepted")
        func half() throws {
            let commands = daemon.runtime.messageSocket
            let appended = try daemon.status("faulty").appended
            for (path, text) in [
                (daemon.runtime.serviceSocket("faulty"), "half"),
                (daemon.runtime.serviceSocket("faulty"), String(repeating: "h", count: 500_000)),
                (commands, "CALL faulty ha"),
                (commands, "*3\r\n$4\r\nCALL\r\n$6\r\nfaulty\r\n$4\r\nhal"),
            ] {
                let client = try LineClient(path: path)
                try client.send(text)
                client.endInput()
                #expect(try client.rest().isEmpty)
            }
            #expect(try counted.discardedUnfinished == 4)
            #expect(try daemon.status("faulty").appended == appended)
        }

        @Test("A byte at a time, a message of 1 MiB costs no more than the copies of it")
        func trickle() throws {
            let client = try daemon.lines("faulty")
            let slow = Background {
                for _ in 0..<64 {
                    try client.send([UInt8](repeating: UInt8(ascii: "t"), count: 16_000))
                }
                for _ in 0..<20_000 { try client.send([UInt8(ascii: "t")]) }
                try client.send("\n")
                return try client.line()?.utf8.count
            }
            let beside = try neighbour.median(asking: 1_000_000) { slow.isOver }
            #expect(try slow.value() == 64 * 16_000 + 20_000)
            try expectWell(within: 16 << 10, beside: beside)
        }

        @Test("A client that never reads has 4 MiB, is read no further, and closed after a time")
        func neverReads() throws {
            let lazy = try daemon.lines("faulty")
            // Replies of 400 MB in all.
            let sender = Background {
                for _ in 1...4000 { try lazy.send("reply 100000\n") }
            }
            let beside = try neighbour.median(asking: 500)
            #expect(try counted.bytes < 16 << 20)
            try expectWell(within: 24 << 10, beside: beside)
            try wait(for: "its end") { try counted.closedStalled == 1 }
            // Its rest was never taken.
            _ = try? sender.value()
            #expect(try daemon.status("faulty").connections == 1)
        }

        @Test("Clients that ask much and go without reading leave at once, and hold up nobody")
        func gone() throws {
            let questions = String(repeating: "STATUS\r\n", count: 15_000)
            let appended = try daemon.status("ping").appended
            var clients = try (1...10).map { _ in
                try LineClient(path: daemon.runtime.messageSocket)
            }
            for client in clients { try client.send(questions + "SEND ping last\r\n") }
            // As many answers wait for them as may, and no more of what they have sent is taken.
            var before = -1
            try wait(for: "all that may wait") {
                before = try counted.bytes
                Thread.sleep(forTimeInterval: 0.3)
                return try counted.bytes == before && before > 4 << 20
            }
            #expect(try daemon.status("ping").appended == appended)
            clients = []
            // Well before they would be closed for not reading.
            let left = try ContinuousClock().measure {
                try wait(for: "their end") { try counted.connected <= 2 }
            }
            print("10 clients that went were gone after \(left)")
            #expect(left < .seconds(2))
            #expect(try counted.bytes < 1 << 20)
            #expect(try counted.closedStalled == 0)
            // What they had sent counts.
            #expect(try daemon.status("ping").appended == appended + 10)
            try expectWell(within: 64 << 10, beside: neighbour.median(asking: 300))
        }

        @Test("Many that ask without an end, and do not read, take little of the others' time")
        func questions() throws {
            _ = raiseDescriptorLimit()
            let curious = try (1...500).map { _ in
                try LineClient(path: daemon.runtime.messageSocket)
            }
            let questions = String(repeating: "STATUS\r\n", count: 1500)
            for client in curious { try client.send(questions) }
            let waits = try neighbour.waits(asking: 30)
            print("beside 500 that ask, a neighbour's median \(waits[15]), at most \(waits[29])")
            // Were each made a turn's worth, the first reply would wait for all of theirs.
            #expect(waits[29] < .milliseconds(400))
            withExtendedLifetime(curious) {}
        }

        @Test("The same with replies that wait behind a slow one, on baton.sock")
        func parked() throws {
            let lazy = try LineClient(path: daemon.runtime.messageSocket)
            let sender = Background {
                try lazy.send("CALL ping slow\r\n")
                for _ in 1...4000 { try lazy.send("CALL faulty \"reply 100000\"\r\n") }
            }
            try daemon.client.change(.suspend, "ping")
            let beside = try neighbour.median(asking: 500)
            try daemon.client.change(.resume, "ping")
            try expectWell(within: 24 << 10, beside: beside)
            try wait(for: "its end") { try counted.closedStalled > 0 }
            _ = try? sender.value()
        }

        @Test("Hundreds that never read, or stop within a large message, share a budget of 32 MiB")
        func manyGreedy() throws {
            let lazy = try (1...200).map { _ in try daemon.lines("faulty") }
            for client in lazy { try client.send(String(repeating: "reply 100000\n", count: 100)) }
            let half = String(repeating: "h", count: 150_000)
            let large = try (1...200).map { _ in try daemon.lines("ping") }
            for client in large { try client.send(half) }
            let waits = try neighbour.waits(asking: 500)
            #expect(try counted.bytes < 48 << 20)
            // Nor does it wait for one of them after the other: those would be a quarter of a second each.
            #expect(waits[waits.count - 1] < .seconds(10), "\(waits[waits.count - 1])")
            try expectWell(within: 96 << 10, beside: waits[waits.count / 2])
            // All of them are closed in the end, refused or stalled, and there is room again.
            try wait(for: "their end") { try counted.connected <= 2 }
            #expect(try counted.bytes < 1 << 20)
            let message = String(repeating: "m", count: 1_000_000)
            #expect(try daemon.lines("faulty").ask(message) == message)
        }
    }
}
