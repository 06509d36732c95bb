// Messages with ids, sent again: known, handled once, answered as the first time, whatever has died.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("54 Identities") struct Identities {
        /// A client of baton.sock, with a name or without.
        private final class Caller {
            private var connection: RESPConnection
            private static var soon: Deadline { Deadline(after: .patience) }

            init(_ daemon: TestDaemon, name: String? = nil) throws {
                connection = try RESPConnection(
                    path: daemon.runtime.messageSocket, deadline: Self.soon)
                if let name {
                    let reply = try ask("CLIENT", "SETNAME", name)
                    guard reply == .simpleString("OK") else { throw Failure("\(reply)") }
                }
            }

            func ask(_ words: String...) throws -> RESPValue {
                try connection.call(words.map { Array($0.utf8) }, deadline: Self.soon)
            }
            func say(_ words: String...) throws {
                try connection.send(words.map { Array($0.utf8) }, deadline: Self.soon)
            }
            func hear() throws -> RESPValue { try connection.receive(deadline: Self.soon) }
        }

        private func bulk(_ text: String) -> RESPValue { .bulk(Array(text.utf8)) }

        private func expectError(_ code: String, _ reply: RESPValue) {
            guard case .error(let text) = reply, text.hasPrefix("\(code) ") else {
                Issue.record("\(reply) where \(code) was expected")
                return
            }
        }

        @Test("A call with the same id is handled once, and its recorded reply comes again")
        func once() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let caller = try Caller(daemon)
            #expect(try caller.ask("CALL", "counter", "5", "ID", "a") == bulk("5"))
            #expect(try caller.ask("CALL", "counter", "2") == bulk("7"))
            // From another connection of this user, too, and with the options in any order.
            let other = try Caller(daemon)
            #expect(
                try other.ask("CALL", "counter", "5", "TIMEOUT", "9000", "ID", "a") == bulk("5"))
            #expect(
                try other.ask("CALL", "counter", "5", "ID", "b", "TIMEOUT", "9000") == bulk("12"))
            #expect(try other.ask("CALL", "counter", "0") == bulk("12"))
            // What was refused is recorded as well.
            let refused = try caller.ask("CALL", "counter", "none", "ID", "c")
            expectError("INVALID", refused)
            #expect(try caller.ask("CALL", "counter", "none", "ID", "c") == refused)
            let status = try daemon.status("counter")
            #expect(status.appended == 5 && status.ids == 3)
        }

        @Test("The same id with another payload is CONFLICT, and changes nothing")
        func conflict() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let caller = try Caller(daemon)
            #expect(try caller.ask("CALL", "counter", "5", "ID", "a") == bulk("5"))
            expectError("CONFLICT", try caller.ask("CALL", "counter", "6", "ID", "a"))
            expectError("CONFLICT", try caller.ask("SEND", "counter", "6", "ID", "a"))
            #expect(try caller.ask("CALL", "counter", "0") == bulk("5"))
            try daemon.killHard()
            try daemon.start()
            expectError("CONFLICT", try Caller(daemon).ask("CALL", "counter", "6", "ID", "a"))
        }

        @Test("An id is its client's own: by name, else by user; and the service's")
        func clients() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            let (one, two) = (try Caller(daemon, name: "one"), try Caller(daemon, name: "two"))
            let nobody = try Caller(daemon)
            #expect(try one.ask("CALL", "counter", "1", "ID", "x") == bulk("1"))
            #expect(try two.ask("CALL", "counter", "10", "ID", "x") == bulk("11"))
            #expect(try nobody.ask("CALL", "counter", "100", "ID", "x") == bulk("111"))
            #expect(try one.ask("CALL", "ping", "ping", "ID", "x") == bulk("pong"))
            let again = try Caller(daemon, name: "one")
            #expect(try again.ask("CALL", "counter", "1", "ID", "x") == bulk("1"))
            #expect(try two.ask("CALL", "counter", "10", "ID", "x") == bulk("11"))
            expectError(
                "ERR", try one.ask("CLIENT", "SETNAME", String(repeating: "n", count: 65)))
        }

        @Test("SEND with an id gives the same number again; the reply can be asked for by CALL")
        func send() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let caller = try Caller(daemon)
            #expect(try caller.ask("SEND", "counter", "5", "ID", "a") == .integer(1))
            #expect(try caller.ask("SEND", "counter", "5", "ID", "a") == .integer(1))
            #expect(try caller.ask("CALL", "counter", "5", "ID", "a") == bulk("5"))
            #expect(try caller.ask("SEND", "counter", "5", "ID", "b") == .integer(2))
            #expect(try caller.ask("CALL", "counter", "0") == bulk("10"))
        }

        @Test("Sent again while it waits, it waits with the first; each gets the one reply")
        func waiting() throws {
            let daemon = try TestDaemon(plugins: "trial")
            #expect(try daemon.baton("suspend", "trial").exit == .code(0))
            let callers = try (0..<5).map { _ in try Caller(daemon) }
            for caller in callers { try caller.say("CALL", "trial", "sum 7", "ID", "a") }
            // One that is gone by then holds up nobody.
            try Caller(daemon).say("CALL", "trial", "sum 7", "ID", "a")
            try wait(for: "the message") { try daemon.trial().appended == 1 }
            #expect(try daemon.baton("resume", "trial").exit == .code(0))
            for caller in callers { #expect(try caller.hear() == bulk("7")) }
            #expect(try callers[0].ask("CALL", "trial", "count") == bulk("1"))
        }

        @Test("A time-out is no answer: sent again it waits for the one that comes")
        func timeout() throws {
            let daemon = try TestDaemon(plugins: "trial")
            let caller = try Caller(daemon)
            expectError(
                "TIMEOUT",
                try caller.ask("CALL", "trial", "sum 3 400", "ID", "a", "TIMEOUT", "20"))
            #expect(try caller.ask("CALL", "trial", "sum 3 400", "ID", "a") == bulk("3"))
            #expect(try caller.ask("CALL", "trial", "sum") == bulk("3"))
        }

        @Test("kill -9 of batond, before the reply and after it: one effect, the same bytes")
        func kills() throws {
            let daemon = try TestDaemon(plugins: "trial")
            var expected = 0
            for round in 0..<12 {
                let words = "sum 1 \(round % 3 * 15)"
                expected += 1
                let caller = try Caller(daemon)
                try caller.say("CALL", "trial", words, "ID", "\(round)")
                if round % 2 == 0 { usleep(UInt32(round) * 3000) }
                try daemon.killHard()
                try daemon.start()
                let again = try Caller(daemon)
                #expect(
                    try again.ask("CALL", "trial", words, "ID", "\(round)") == bulk("\(expected)"))
                for earlier in 0...round {
                    #expect(
                        try again.ask(
                            "CALL", "trial", "sum 1 \(earlier % 3 * 15)", "ID", "\(earlier)")
                            == bulk("\(earlier + 1)"))
                }
            }
            #expect(try daemon.call("trial", "count") == "12")
        }

        @Test("kill -9 of the host, an upgrade and a rollback: the same")
        func hosts() throws {
            let daemon = try TestDaemon(.first, configuration: "probation: 60s\n")
            let caller = try Caller(daemon)
            #expect(try caller.ask("CALL", "trial", "sum 1", "ID", "1") == bulk("1"))
            try caller.say("CALL", "trial", "sum 1 300", "ID", "2")
            try wait(for: "the message in hand") { try daemon.trial().messageInHand == 2 }
            try daemon.killCurrent()
            #expect(try caller.hear() == bulk("2"))
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try caller.ask("CALL", "trial", "sum 1", "ID", "1") == bulk("1"))
            #expect(try caller.ask("CALL", "trial", "sum 1", "ID", "3") == bulk("3"))
            #expect(try daemon.rollback().verdict == .rolledBack)
            for (id, message) in [("1", "sum 1"), ("2", "sum 1 300"), ("3", "sum 1")] {
                #expect(try caller.ask("CALL", "trial", message, "ID", id) == bulk(id))
            }
            #expect(try caller.ask("CALL", "trial", "sum") == bulk("3"))
        }

        @Test("A poison message is refused once; sent again it hears the same, and kills nobody")
        func poison() throws {
            let daemon = try TestDaemon(plugins: "trial")
            let caller = try Caller(daemon)
            let poison = try caller.ask("CALL", "trial", "die-all", "ID", "p")
            expectError("POISON", poison)
            let restarts = try daemon.trial().restarts
            #expect(try caller.ask("CALL", "trial", "die-all", "ID", "p") == poison)
            try daemon.killHard()
            try daemon.start()
            #expect(try Caller(daemon).ask("CALL", "trial", "die-all", "ID", "p") == poison)
            #expect(try daemon.trial().restarts == 0 && restarts == 3)
            #expect(try daemon.trial().deadLetters == 1)
        }

        @Test("What is remembered is bounded by number and by age, across segments and restarts")
        func bounds() throws {
            let daemon = try TestDaemon(
                ["counter": Products.image("counter")],
                configuration: "limits:\n  ids: 20\n  ids_age: 100s\n")
            let caller = try Caller(daemon)
            for number in 1...60 {
                #expect(
                    try caller.ask("CALL", "counter", "1", "ID", "\(number)") == bulk("\(number)"))
            }
            #expect(try daemon.status("counter").ids == 20)
            // Other messages take no place; the log rolls and lets go of segments.
            let lines = try daemon.lines("counter")
            try lines.send(String(repeating: "0\n", count: 20_000))
            lines.endInput()
            #expect(try lines.remainingLines().count == 20_000)
            try daemon.killHard()
            try daemon.start()
            let again = try Caller(daemon)
            for number in 41...60 {
                #expect(
                    try again.ask("CALL", "counter", "1", "ID", "\(number)") == bulk("\(number)"))
            }
            // The one before is forgotten: a new message.
            #expect(try again.ask("CALL", "counter", "1", "ID", "40") == bulk("61"))
        }

        @Test("The age of an id counts from its answer, however long its message has waited")
        func age() throws {
            let daemon = try TestDaemon(
                ["counter": Products.image("counter")], configuration: "limits:\n  ids_age: 3s\n")
            #expect(try daemon.baton("suspend", "counter").exit == .code(0))
            let caller = try Caller(daemon)
            #expect(try caller.ask("SEND", "counter", "1", "ID", "a") == .integer(1))
            Thread.sleep(forTimeInterval: 4)
            #expect(try daemon.baton("resume", "counter").exit == .code(0))
            #expect(try caller.ask("CALL", "counter", "1", "ID", "a") == bulk("1"))
            #expect(try caller.ask("CALL", "counter", "1", "ID", "a") == bulk("1"))
            Thread.sleep(forTimeInterval: 4)
            #expect(try caller.ask("CALL", "counter", "1", "ID", "a") == bulk("2"))
        }

        @Test("More that wait than may be remembered are BUSY; plain messages are taken")
        func full() throws {
            let daemon = try TestDaemon(
                ["counter": Products.image("counter")], configuration: "limits:\n  ids: 3\n")
            #expect(try daemon.baton("suspend", "counter").exit == .code(0))
            let caller = try Caller(daemon)
            for number in 1...3 {
                #expect(
                    try caller.ask("SEND", "counter", "1", "ID", "\(number)") == .integer(number))
            }
            expectError("BUSY", try caller.ask("SEND", "counter", "1", "ID", "4"))
            #expect(try caller.ask("SEND", "counter", "1") == .integer(4))
            // Those that are known are answered all the same.
            #expect(try caller.ask("SEND", "counter", "1", "ID", "2") == .integer(2))
            #expect(try daemon.baton("resume", "counter").exit == .code(0))
            #expect(try caller.ask("CALL", "counter", "1", "ID", "4") == bulk("5"))
        }

        @Test("What is no id is told, and so is what is no option")
        func wrong() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let caller = try Caller(daemon)
            let long = String(repeating: "i", count: 65)
            for words in [
                ["ID", ""], ["ID", long], ["ID"], ["ID", "a", "ID", "b"], ["NO", "a"],
            ] {
                var command = ["CALL", "counter", "1"] + words
                expectError("ERR", try ask(caller, command))
                command[0] = "SEND"
                expectError("ERR", try ask(caller, command))
            }
            expectError("ERR", try caller.ask("SEND", "counter", "1", "TIMEOUT", "5"))
            #expect(try daemon.status("counter").appended == 0)
            #expect(
                try caller.ask("CALL", "counter", "1", "ID", String(long.dropLast())) == bulk("1"))
        }

        private func ask(_ caller: Caller, _ words: [String]) throws -> RESPValue {
            switch words.count {
            case 4: try caller.ask(words[0], words[1], words[2], words[3])
            case 5: try caller.ask(words[0], words[1], words[2], words[3], words[4])
            default:
                try caller.ask(
                    words[0], words[1], words[2], words[3], words[4], words[5], words[6])
            }
        }

        @Test("'baton call --id' and 'baton send --id' are calls with an id")
        func command() throws {
            let daemon = try TestDaemon(plugins: "counter")
            for _ in 0..<2 {
                let call = try daemon.baton("call", "counter", "5", "--id", "a")
                #expect(call.exit == .code(0) && call.output == "5\n")
            }
            let send = try daemon.baton("send", "counter", "5", "--id", "a")
            #expect(send.output == "1\n")
            let conflict = try daemon.baton("call", "counter", "6", "--id", "a")
            #expect(conflict.exit == .code(1) && conflict.error.contains("CONFLICT"))
            for id in ["", String(repeating: "i", count: 65)] {
                for verb in ["call", "send"] {
                    let wrong = try daemon.baton(verb, "counter", "5", "--id", id)
                    #expect(wrong.exit == .code(64), "\(wrong.error)")
                }
            }
        }
    }
}
