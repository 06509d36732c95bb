// Messages that kill: who is at fault, the version or the message, and what becomes of dead letters.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("46 Poison") struct Poison {
        private static let long = "probation: 60s\n"

        /// The second version, in its probation, with the sum 42.
        private func provisional(_ configuration: String = long) throws -> (TestDaemon, LineClient)
        {
            let daemon = try TestDaemon(.first, configuration: configuration)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 2") == "42")
            return (daemon, client)
        }

        @Test(
            "A message that kills both versions is at fault: one POISON, and the new version goes on"
        )
        func both() throws {
            let (daemon, client) = try provisional()
            let other = try daemon.lines("trial")
            try other.send("sum 1\n")
            #expect(try other.line() == "43")
            try client.send("die-all\nsum 1\nversion\n")
            let poison = try #require(try client.line())
            #expect(poison.hasPrefix("-POISON message 4 "), "\(poison)")
            #expect(try client.lines(2) == ["44", "2"])
            #expect(try other.ask("count") == "4")
            let status = try daemon.trial()
            #expect(status.version == "2" && status.release == "provisional")
            #expect(status.deadLetters == 1)
            #expect(status.lastUpgrade?.verdict == .refused)
            #expect(status.lastUpgrade?.reason?.contains("killed both versions") == true)

            // A second one; the old version's host died of the first.
            try client.send("die-all\nsum 1\n")
            #expect(try client.line()?.hasPrefix("-POISON message 8 ") == true)
            #expect(try client.line() == "45")
            let letters = try daemon.client.deadLetters("trial").decoded()
            #expect(letters.map(\.sequence) == [4, 8])
            #expect(letters.map(\.text) == ["die-all", "die-all"])
            #expect(letters.allSatisfy { $0.version == "2" && $0.attempts == 2 }, "\(letters)")

            // The way back is still open, past both.
            #expect(try client.ask("die 2") == "alive")
            #expect(try client.ask("version") == "1")
            #expect(try client.ask("sum 1") == "46")
            #expect(try client.ask("count") == "6")
            client.endInput()
            #expect(try client.remainingLines().isEmpty)
        }

        @Test("A message that kills only the new version: rolled back, and the old one answers it")
        func onlyNew() throws {
            let (daemon, client) = try provisional()
            try client.send("die 2\nsum 1\n")
            #expect(try client.lines(2) == ["alive", "43"])
            #expect(try client.ask("version") == "1")
            let status = try daemon.trial()
            #expect(status.deadLetters == 0 && status.lastUpgrade?.verdict == .rolledBack)
            #expect(try daemon.client.mailbox("trial").decoded().attempts.isEmpty)
        }

        @Test("A message that kills only the old version does not matter to the new one")
        func onlyOld() throws {
            let (daemon, client) = try provisional()
            // The way back leads over it: it is closed, and the new version restarted in place.
            #expect(try client.ask("die 1") == "alive")
            #expect(try client.ask("die 2").hasPrefix("-POISON "))
            #expect(try client.ask("sum 1") == "43")
            #expect(try client.ask("version") == "2")
            let status = try daemon.trial()
            #expect(status.deadLetters == 1 && status.lastUpgrade?.verdict == .refused)
            #expect(status.lastUpgrade?.reason?.contains("again") == true, "\(status)")
        }

        @Test("By hand after confirmation the way back leads past dead letters too")
        func passedByHand() throws {
            let (daemon, client) = try provisional()
            #expect(try client.ask("die-all").hasPrefix("-POISON "))
            try daemon.client.change(.confirm, "trial")
            #expect(try client.ask("sum 1") == "43")
            #expect(try client.ask("die-all").hasPrefix("-POISON "))
            #expect(try client.ask("sum 1") == "44")
            let verdict = try daemon.rollback()
            #expect(verdict.verdict == .rolledBack, "\(verdict)")
            #expect(try client.ask("sum 1") == "45")
            #expect(try client.ask("version") == "1")
        }

        @Test(
            "After a way back, too, what has killed is handled alone: its neighbours are not blamed"
        )
        func neighbours() throws {
            let daemon = try TestDaemon(
                Trial(takes: 0...0),
                configuration: "probation: 0s\nservices: {trial: {restart: temporary}}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 1") == "1")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            // The way back leads over this one.
            #expect(try client.ask("sum 1") == "2")
            try daemon.client.change(.suspend, "trial")
            // Quick ones: their outcomes wait for each other, and are lost with the host.
            try client.send("sum\nsum\nsum\ndie-all\n")
            try wait(for: "the messages") { try daemon.trial().appended == 6 }
            try daemon.client.change(.resume, "trial")
            #expect(try client.lines(3) == ["2", "2", "2"])
            try wait(for: "the end of both versions") { try daemon.trial().state == .stopped }
            #expect(try daemon.trial().version == "1")
            let attempts = try daemon.client.mailbox("trial").decoded().attempts
            #expect(attempts.map { [$0.sequence, $0.attempts] } == [[6, 2]])
        }

        @Test(
            "Suspended by hand meanwhile: what the old version was given to try counts all the same"
        )
        func suspendedMeanwhile() throws {
            let (daemon, client) = try provisional(
                Self.long + "limits: {suspend_timeout: 60s, replay_timeout: 60s}\n")
            try client.send("hang 2\n")
            try wait(for: "the message in hand") { try daemon.trial().messageInHand == 3 }
            let host = try #require(try daemon.trial().pid)
            let suspension = daemon.batonBeside("suspend", "trial")
            try wait(for: "the suspension") { try daemon.trial().state == .suspended }
            _ = kill(pid_t(host), SIGKILL)
            #expect(try suspension.value().exit == .code(0))
            #expect(try client.line() == "alive")
            var status = try daemon.trial()
            #expect(status.state == .suspended && status.version == "1" && status.waiting == 0)
            // And it is not handled once more by whoever comes then.
            let verdict = try daemon.upgrade(to: Trial(version: "3", writes: 2, takes: 1...2))
            #expect(verdict.verdict == .upgraded, "\(verdict)")
            try daemon.client.change(.resume, "trial")
            #expect(try client.ask("sum 1") == "43")
            status = try daemon.trial()
            #expect(status.settled == 4 && status.version == "3")
        }

        @Test("Failed attempts are told, and outlive batond")
        func attempts() throws {
            let daemon = try TestDaemon(
                .first, configuration: "probation: 0s\nlimits: {attempts: 4}\n")
            try daemon.client.change(.suspend, "trial")
            _ = try daemon.client.send("trial", Array("sum 1".utf8))
            _ = try daemon.client.send("trial", Array("sleep 60000".utf8))
            try daemon.client.change(.resume, "trial")
            for attempt in 1...3 {
                try wait(for: "the message in hand") { try daemon.trial().messageInHand == 2 }
                let host = try #require(try daemon.trial().pid)
                _ = kill(pid_t(host), SIGKILL)
                try wait(for: "attempt \(attempt)") {
                    try daemon.client.mailbox("trial").decoded().attempts
                        .map { [$0.sequence, $0.attempts] } == [[2, attempt]]
                }
                if attempt == 2 {
                    try daemon.killHard()
                    try daemon.start()
                }
            }
            #expect(try daemon.trial().deadLetters == 0)
            try wait(for: "the message in hand") { try daemon.trial().messageInHand == 2 }
            let host = try #require(try daemon.trial().pid)
            _ = kill(pid_t(host), SIGKILL)
            try wait(for: "the dead letter") { try daemon.trial().deadLetters == 1 }
            #expect(try daemon.call("trial", "sum") == "1")
            #expect(try daemon.client.mailbox("trial").decoded().attempts.isEmpty)
        }

        @Test(
            "Dead letters outlive kill -9; redelivered they are new messages, discarded they are gone"
        )
        func letters() throws {
            let daemon = try TestDaemon(
                .first,
                configuration: """
                    probation: 0s
                    limits: {restarts: 100, restart_period: 100ms}

                    """)
            let client = try daemon.lines("trial")
            for number in 1...4 {
                #expect(try client.ask("sum 1") == "\(number)")
                #expect(try client.ask("die 1").hasPrefix("-POISON message \(2 * number) "))
            }
            func dead() throws -> [Int] {
                try daemon.client.deadLetters("trial").decoded().map(\.sequence)
            }
            #expect(try dead() == [2, 4, 6, 8])
            try daemon.killHard()
            try daemon.start()
            #expect(try dead() == [2, 4, 6, 8])

            // Redelivered to the version that died of it, it is a dead letter again.
            let again = try daemon.baton("mailbox", "trial", "--redeliver", "4")
            #expect(again.exit == .code(0), "\(again.error)")
            try wait(for: "the new dead letter") { try dead() == [2, 6, 8, 9] }
            #expect(try daemon.client.dispose(.discard, of: 6, in: "trial") == 1)
            #expect(try dead() == [2, 8, 9])
            #expect(throws: ClientError.self) {
                try daemon.client.dispose(.discard, of: 6, in: "trial")
            }
            #expect(throws: ClientError.self) {
                try daemon.client.dispose(.redeliver, of: 1, in: "trial")
            }

            // A version that does not die of them has handled them.
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try daemon.client.dispose(.redeliver, of: nil, in: "trial") == 3)
            try wait(for: "their end") { try daemon.trial().waiting == 0 }
            let status = try daemon.trial()
            #expect(status.deadLetters == 0 && status.appended == 12 && status.restarts > 0)
            let mailbox = try daemon.client.mailbox("trial").decoded()
            #expect(mailbox.deadLetters == 0 && mailbox.deadLettersEver == 5)
            #expect(try daemon.call("trial", "sum 1") == "5")

            // That they were redelivered, or discarded, is kept too.
            #expect(try daemon.client.send("trial", Array("die-all".utf8)) == 14)
            try wait(for: "another dead letter") { try dead() == [14] }
            let none = try daemon.baton("mailbox", "trial", "--discard", "all")
            #expect(none.exit == .code(0), "\(none.error)")
            try daemon.killHard()
            try daemon.start()
            #expect(try dead().isEmpty)
            #expect(try daemon.call("trial", "count") == "5")
        }

        @Test(
            "Poison of several clients, one after the other: each its own error, all else answered")
        func several() throws {
            let daemon = try TestDaemon(
                .first,
                configuration: Self.long + "limits: {restarts: 100, restart_period: 100ms}\n")
            #expect(try daemon.call("trial", "sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            let clients = try (0..<4).map { _ in try daemon.lines("trial") }
            for client in clients { try client.send("sum 1\ndie-all\nsum 1\ndie-all\necho\n") }
            var sums: [Int] = []
            for client in clients {
                let lines = try client.lines(5)
                for (line, isPoison) in zip(lines, [false, true, false, true, false]) {
                    #expect(line.hasPrefix("-POISON ") == isPoison, "\(lines)")
                }
                sums += lines.compactMap { Int($0) }
                #expect(lines.last == "echo")
                client.endInput()
                #expect(try client.remainingLines().isEmpty)
            }
            #expect(sums.sorted() == Array(41...48))
            let status = try daemon.trial()
            #expect(status.deadLetters == 8 && status.version == "2" && status.waiting == 0)
        }
    }
}
