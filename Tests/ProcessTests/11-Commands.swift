// baton.sock and control.sock: RESP, inline commands, and what is wrong with either.

import BatonClient
import Foundation
import Testing

extension Processes {
    @Suite("11 Commands") struct Commands {
        let daemon: TestDaemon

        init() throws {
            daemon = try TestDaemon(plugins: "ping", "counter")
        }

        private var soon: Deadline { Deadline(after: .patience) }

        private func connection(control: Bool = false) throws -> RESPConnection {
            let path = control ? daemon.runtime.controlSocket : daemon.runtime.messageSocket
            return try RESPConnection(path: path, deadline: soon)
        }

        /// One command to baton.sock.
        private func ask(_ words: String...) throws -> RESPValue {
            var connection = try connection()
            return try connection.call(words.map { Array($0.utf8) }, deadline: soon)
        }

        /// Raw bytes to baton.sock.
        private func raw() throws -> LineClient {
            try LineClient(path: daemon.runtime.messageSocket)
        }

        private func expectError(_ code: String, _ reply: RESPValue) {
            guard case .error(let text) = reply else {
                Issue.record("\(reply) where \(code) was expected")
                return
            }
            #expect(text.hasPrefix("\(code) "), "\(text)")
        }

        @Test("CALL is answered by the service's reply")
        func call() throws {
            #expect(try ask("CALL", "ping", "ping") == .bulk(Array("pong".utf8)))
            #expect(try ask("call", "counter", "-7") == .bulk(Array("-7".utf8)))
            expectError("UNKNOWN", try ask("CALL", "ping", "what"))
            expectError("INVALID", try ask("CALL", "counter", ""))
        }

        @Test("SEND is answered by the message's sequence number")
        func send() throws {
            #expect(try ask("SEND", "counter", "5") == .integer(1))
            #expect(try ask("SEND", "counter", "6") == .integer(2))
            #expect(try ask("CALL", "counter", "?") == .bulk(Array("sum=11".utf8)))
        }

        @Test("PING is answered PONG, or with its text")
        func ping() throws {
            #expect(try ask("PING") == .simpleString("PONG"))
            #expect(try ask("PING", "here") == .bulk(Array("here".utf8)))
        }

        @Test("STATUS of the daemon and of a service is JSON with the promised members")
        func status() throws {
            let whole = try daemon.client.status().decoded()
            #expect(whole.state == "running")
            #expect(whole.pid == Int(daemon.pid))
            #expect(whole.services.map(\.name) == ["counter", "ping"])
            let ping = try daemon.status("ping")
            #expect(ping.state == .running)
            #expect(ping.version == "1")
            #expect(ping.digest?.count == 64)
            #expect(ping.durability == "commit")
            #expect(ping.images.map(\.role) == ["current"])
            #expect(ping.release == "confirmed")
            #expect(ping.confirmedVersion == "1" && ping.confirmedDigest == ping.digest)
            #expect(ping.messageInHand == nil)
            #expect(!ping.diskVersionDiffers)

            guard case .bulk(let bytes) = try ask("STATUS", "ping") else {
                Issue.record("STATUS is not a bulk string")
                return
            }
            let object = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            let promised: Set = [
                "name", "state", "reason", "version", "digest", "pid", "old_version", "old_digest",
                "old_pid", "phase", "durability", "appended", "settled", "waiting", "dead_letters",
                "restarts", "upgrades", "connections", "mailbox_bytes", "disk_version_differs",
                "last_upgrade", "images", "release", "confirmed_version", "confirmed_digest",
                "message_in_hand", "probation_milliseconds_left",
            ]
            #expect(promised.subtracting(Set((object ?? [:]).keys)).isEmpty)
        }

        @Test("The message in hand is told")
        func inHand() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            try client.send("sleep 3000\n")
            try wait(for: "the message in hand") {
                try daemon.status("faulty").messageInHand == 1
            }
            #expect(try client.line() == "slept")
        }

        @Test("A service that is not there is NOSERVICE, whatever its name looks like")
        func noService() throws {
            for name in [
                "pong", "", "Ping", "../ping", "ping.so", String(repeating: "a", count: 300),
            ] {
                expectError("NOSERVICE", try ask("CALL", name, "ping"))
                expectError("NOSERVICE", try ask("SEND", name, "ping"))
                expectError("NOSERVICE", try ask("STATUS", name))
            }
        }

        @Test("HELLO 2 and HELLO 3 choose the protocol; another is refused, and nothing changes")
        func hello() throws {
            var connection = try connection()
            guard case .map(let members) = try connection.call("HELLO", "3", deadline: soon) else {
                Issue.record("HELLO 3 is not answered by a map")
                return
            }
            let protocolMember = members.first { $0.key == .bulk(Array("proto".utf8)) }
            #expect(protocolMember?.value == .integer(3))
            guard case .array(let elements) = try connection.call("HELLO", "2", deadline: soon)
            else {
                Issue.record("HELLO 2 is not answered by an array")
                return
            }
            #expect(elements.count == 2 * members.count)
            expectError("NOPROTO", try connection.call("HELLO", "4", deadline: soon))
            #expect(
                try connection.call("CALL", "ping", "ping", deadline: soon)
                    == .bulk(Array("pong".utf8)))
        }

        @Test("What Redis clients ask when they connect is answered")
        func manners() throws {
            var connection = try connection()
            #expect(
                try connection.call("CLIENT", "SETNAME", "me", deadline: soon)
                    == .simpleString("OK"))
            #expect(
                try connection.call("CLIENT", "GETNAME", deadline: soon) == .bulk(Array("me".utf8)))
            #expect(
                try connection.call("CLIENT", "SETINFO", "LIB-NAME", "x", deadline: soon)
                    == .simpleString("OK"))
            #expect(try connection.call("SELECT", "0", deadline: soon) == .simpleString("OK"))
            expectError("ERR", try connection.call("SELECT", "1", deadline: soon))
            guard case .array = try connection.call("COMMAND", deadline: soon),
                case .array = try connection.call("COMMAND", "DOCS", deadline: soon),
                case .array(let save) = try connection.call("CONFIG", "GET", "save", deadline: soon),
                case .bulk = try connection.call("INFO", deadline: soon)
            else {
                Issue.record("an answer of another kind")
                return
            }
            #expect(save.count == 2)
            #expect(try connection.call("QUIT", deadline: soon) == .simpleString("OK"))
            #expect(throws: ClientError.disconnected) {
                _ = try connection.receive(deadline: soon)
            }
        }

        @Test("An unknown command, and a wrong number of arguments, leave the connection as it was")
        func unknown() throws {
            var connection = try connection()
            expectError("ERR", try connection.call("FROBNICATE", deadline: soon))
            expectError("ERR", try connection.call("CALL", "ping", deadline: soon))
            expectError("ERR", try connection.call("CALL", "ping", "a", "b", deadline: soon))
            expectError(
                "ERR", try connection.call("CALL", "ping", "a", "TIMEOUT", "soon", deadline: soon))
            #expect(try connection.call("PING", deadline: soon) == .simpleString("PONG"))
        }

        @Test("Inline commands work, with quotes, and blank lines between them mean nothing")
        func inline() throws {
            let client = try raw()
            try client.send("PING\r\n\r\n\nCALL ping ping\nCALL counter \"5\"\r\n")
            #expect(try client.lines(5) == ["+PONG\r", "$4\r", "pong\r", "$1\r", "5\r"])
        }

        @Test("A thousand commands in one packet are answered in order")
        func pipelined() throws {
            var connection = try connection()
            for number in 1...1000 {
                try connection.send(
                    ["CALL", "counter", "\(number)"].map { Array($0.utf8) }, deadline: soon)
                if number % 10 == 0 { try connection.send([Array("PING".utf8)], deadline: soon) }
            }
            var sum = 0
            for number in 1...1000 {
                sum += number
                #expect(try connection.receive(deadline: soon) == .bulk(Array("\(sum)".utf8)))
                if number % 10 == 0 {
                    #expect(try connection.receive(deadline: soon) == .simpleString("PONG"))
                }
            }
        }

        @Test(
            "Garbage is PROTOCOL and the end",
            arguments: [
                "*2\r\n:5\r\n", "*1\r\n$x\r\n", "*1\r\n$-5\r\n", "*x\r\n",
                "*3\r\n$3\r\nPINGPING\r\n",
                "PING \"unbalanced\r\n", "*1\r\n$99999999999999999999\r\n",
            ])
        func garbage(bytes: String) throws {
            let client = try raw()
            try client.send("PING\r\n" + bytes)
            #expect(try client.line() == "+PONG\r")
            let reply = try #require(try client.line())
            #expect(reply.hasPrefix("-PROTOCOL ") || reply.hasPrefix("-TOOBIG "), "\(reply)")
            #expect(try client.remainingLines().isEmpty)
            #expect(try ask("PING") == .simpleString("PONG"))
        }

        @Test("Random bytes never harm the daemon")
        func random() throws {
            var state: UInt64 = 2_463_534_242
            for _ in 0..<200 {
                let client = try raw()
                var bytes: [UInt8] = []
                for _ in 0..<64 {
                    // xorshift: the same bytes each time.
                    state ^= state << 13
                    state ^= state >> 7
                    state ^= state << 17
                    bytes.append(UInt8(truncatingIfNeeded: state))
                    // Now and then something that looks like the protocol.
                    if state % 16 == 0 { bytes += Array("\r\n*3\r\n$4\r\nCALL\r\n$".utf8) }
                }
                _ = try? client.send(bytes)
                client.endInput()
                _ = try client.rest()
            }
            #expect(try ask("CALL", "ping", "ping") == .bulk(Array("pong".utf8)))
        }

        @Test("A bulk string beyond the limit is TOOBIG before a byte of it has come")
        func tooBig() throws {
            let client = try raw()
            try client.send("*3\r\n$4\r\nCALL\r\n$4\r\nping\r\n$1048577\r\n")
            let reply = try #require(try client.line())
            #expect(reply.hasPrefix("-TOOBIG "))
            #expect(try client.remainingLines().isEmpty)
        }

        @Test("The verbs that change things are DENIED on baton.sock, and taken on control.sock")
        func denied() throws {
            let verbs =
                [["RELOAD"], ["UPGRADE", "ping"], ["RELOAD", "DRYRUN"]]
                + ["SUSPEND", "RESUME", "PURGE", "ROLLBACK", "CONFIRM"].map { [$0, "ping"] }
                + ["REDELIVER", "DISCARD"].map { [$0, "ping", "ALL"] }
            var messages = try connection()
            var control = try connection(control: true)
            for verb in verbs {
                let words = verb.map { Array($0.utf8) }
                expectError("DENIED", try messages.call(words, deadline: soon))
                let reply = try control.call(words, deadline: soon)
                if case .error(let text) = reply { Issue.record("\(verb): \(text)") }
            }
            #expect(
                try control.call("CALL", "ping", "ping", deadline: soon)
                    == .bulk(Array("pong".utf8)))
        }

        @Test("Options that are none are answered with the usage, and nothing is done")
        func options() throws {
            var control = try connection(control: true)
            for line in [
                "UPGRADE ping NOW", "UPGRADE ping IMAGE", "UPGRADE ping REHEARSE many",
                "UPGRADE ping ALLOW 1", "RELOAD FORCE", "REDELIVER ping first", "DISCARD ping 0",
            ] {
                let words = line.split(separator: " ")
                let reply = try control.call(words.map { Array($0.utf8) }, deadline: soon)
                guard case .error(let text) = reply else {
                    Issue.record("\(line) was answered \(reply)")
                    continue
                }
                #expect(text.hasPrefix("ERR usage: \(words[0]) "), "\(text)")
            }
            expectError("ERR", try control.call("UPGRADE", "ping", "IMAGE", "a.so", deadline: soon))
            expectError("REFUSED", try control.call("DISCARD", "ping", "7", deadline: soon))
            #expect(try daemon.status("ping").lastUpgrade?.verdict == .started)
        }

        @Test("TIMEOUT gives up waiting; the message is handled all the same")
        func timeout() throws {
            try daemon.client.change(.suspend, "counter")
            expectError("TIMEOUT", try ask("CALL", "counter", "5", "TIMEOUT", "20"))
            try daemon.client.change(.resume, "counter")
            #expect(try daemon.call("counter", "?") == "sum=5")
        }

        @Test("A reply that comes after its TIMEOUT is dropped, and the next call has its own")
        func lateReply() throws {
            try daemon.client.change(.suspend, "counter")
            var connection = try connection()
            let call = ["CALL", "counter", "5", "TIMEOUT", "20"].map { Array($0.utf8) }
            expectError("TIMEOUT", try connection.call(call, deadline: soon))
            try connection.send(["CALL", "counter", "6"].map { Array($0.utf8) }, deadline: soon)
            try connection.send(["CALL", "ping", "ping"].map { Array($0.utf8) }, deadline: soon)
            try daemon.client.change(.resume, "counter")
            #expect(try connection.receive(deadline: soon) == .bulk(Array("11".utf8)))
            #expect(try connection.receive(deadline: soon) == .bulk(Array("pong".utf8)))
        }

        @Test("Replies keep their order when one of them waits for a suspended service")
        func order() throws {
            try daemon.client.change(.suspend, "counter")
            var connection = try connection()
            try connection.send(["CALL", "counter", "5"].map { Array($0.utf8) }, deadline: soon)
            try connection.send(["CALL", "ping", "ping"].map { Array($0.utf8) }, deadline: soon)
            try connection.send([Array("PING".utf8)], deadline: soon)
            // Another client's messages do not wait for it.
            #expect(try daemon.call("ping", "ping") == "pong")
            try daemon.client.change(.resume, "counter")
            #expect(try connection.receive(deadline: soon) == .bulk(Array("5".utf8)))
            #expect(try connection.receive(deadline: soon) == .bulk(Array("pong".utf8)))
            #expect(try connection.receive(deadline: soon) == .simpleString("PONG"))
        }

        @Test("A suspended service keeps its messages, and says so")
        func suspended() throws {
            try daemon.client.change(.suspend, "counter")
            for number in 1...100 {
                #expect(try ask("SEND", "counter", "\(number)") == .integer(number))
            }
            let status = try daemon.status("counter")
            #expect(status.state == .suspended)
            #expect(status.waiting == 100)
            try daemon.client.change(.resume, "counter")
            #expect(try daemon.call("counter", "?") == "sum=5050")
            #expect(try daemon.status("counter").state == .running)
        }
    }
}
