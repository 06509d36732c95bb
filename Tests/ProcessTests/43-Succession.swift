// Upgrades and rollbacks on the heels of each other: one after the other for one service, side by side
// for several, and a verdict for each.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("43 Succession") struct Succession {
        private static let long = "probation: 60s\n"

        /// The second version, and those behind it, slow to take over: so there is time to ask for more.
        private func slow(_ version: Int, _ milliseconds: Int = 400) -> Trial {
            Trial(
                version: "\(version)", writes: 2, takes: 1...2,
                plan: "migration-late \(milliseconds)")
        }

        /// Asks for all of `commands` at once, in this order, and waits for the verdicts.
        private func verdicts(of commands: [[String]], _ runtime: RuntimeDirectory) throws
            -> [ServiceVerdict]
        {
            let deadline = Deadline(after: .patience)
            var control = try RESPConnection(path: runtime.controlSocket, deadline: deadline)
            for command in commands {
                try control.send(command.map { Array($0.utf8) }, deadline: deadline)
            }
            return try commands.map { command in
                guard case .bulk(let json) = try control.receive(deadline: deadline) else {
                    throw Failure("no verdict for \(command)")
                }
                return try Report<ServiceVerdict>(json: json).decoded()
            }
        }

        private func upgrade(_ service: String, _ trial: Trial, _ daemon: TestDaemon) throws
            -> [String]
        {
            ["UPGRADE", service, "IMAGE", try trial.file(in: daemon.directory)]
        }

        @Test(
            "Three upgrades of one service asked for at once: one after the other, each its verdict"
        )
        func three() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try PipelinedClient(
                TallyTalk(), path: daemon.runtime.serviceSocket("trial"), window: 16)
            try Crowd([client]).work { client.received > 100 }
            client.goal = .max
            let commands = try (2...4).map { try upgrade("trial", slow($0, 200), daemon) }
            let runtime = daemon.runtime
            let all = Background { try self.verdicts(of: commands, runtime) }
            try Crowd([client]).work { all.isOver }
            let verdicts = try all.value()
            #expect(verdicts.map(\.verdict) == [.upgraded, .upgraded, .upgraded])
            #expect(verdicts.map(\.from) == ["1", "2", "3"])
            #expect(verdicts.map(\.to) == ["2", "3", "4"])
            let after = verdicts.compactMap(\.switchSequence)
            #expect(after.count == 3 && after == after.sorted() && after[0] > 0, "\(after)")
            #expect(client.talk.sums == Array(1...client.sent))
            #expect(try daemon.call("trial", "sum") == "\(client.sent)")
            #expect(try daemon.call("trial", "version") == "4")
            let status = try daemon.trial()
            #expect(status.upgrades == 3 && status.confirmedVersion == "1")
            #expect(status.oldVersion == "3")
            // Two versions, no more.
            try wait(for: "the end of the others") {
                ProcessTable.children(of: daemon.pid).count == 2
            }
        }

        @Test("Upgrades of several services, two of each: side by side, each service in its order")
        func several() throws {
            let daemon = try TestDaemon(configuration: Self.long)
            let names = ["one", "two", "three"]
            for name in names { try daemon.install(Trial.first.image(), as: name) }
            _ = try daemon.client.reload()
            for name in names { #expect(try daemon.call(name, "sum 5") == "5") }
            // The second of each is good or bad in turn.
            let bad = Trial(version: "3", writes: 2, takes: 1...2, plan: "migration-crash")
            let images = [slow(3), bad, slow(3)]
            let commands =
                try names.map { try upgrade($0, slow(2), daemon) }
                + zip(names, images).map { try upgrade($0, $1, daemon) }
            let verdicts = try self.verdicts(of: commands, daemon.runtime)
            #expect(verdicts.map(\.service) == names + names)
            #expect(verdicts.prefix(3).allSatisfy { $0.verdict == .upgraded && $0.to == "2" })
            #expect(verdicts.suffix(3).map(\.verdict) == [.upgraded, .refused, .upgraded])
            for (name, version) in zip(names, ["3", "2", "3"]) {
                #expect(try daemon.call(name, "version") == version)
                #expect(try daemon.call(name, "sum 1") == "6")
            }
        }

        @Test("A rollback asked for during an upgrade waits for it, and undoes it")
        func rollbackDuring() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 2") == "42")
            let commands = [
                try upgrade("trial", slow(3), daemon), ["ROLLBACK", "trial"],
                try upgrade("trial", slow(4), daemon), ["ROLLBACK", "trial"],
                ["ROLLBACK", "trial"],
            ]
            let verdicts = try self.verdicts(of: commands, daemon.runtime)
            #expect(
                verdicts.map(\.verdict)
                    == [.upgraded, .rolledBack, .upgraded, .rolledBack, .rolledBack])
            #expect(verdicts.map(\.from) == ["2", "3", "2", "4", "2"])
            #expect(verdicts.map(\.to) == ["3", "2", "4", "2", "4"])
            #expect(try client.ask("sum 1") == "43")
            #expect(try client.ask("count") == "3")
            #expect(try client.ask("version") == "4")
        }

        @Test(
            "A rollback asked for during an upgrade that is refused: it goes to the version before")
        func rollbackAfterRefusal() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 2") == "42")
            let bad = Trial(version: "3", writes: 2, takes: 1...2, plan: "migration-crash")
            let verdicts = try self.verdicts(
                of: [try upgrade("trial", bad, daemon), ["ROLLBACK", "trial"]], daemon.runtime)
            #expect(verdicts.map(\.verdict) == [.refused, .rolledBack])
            #expect(verdicts.map(\.to) == ["3", "1"])
            #expect(try client.ask("sum 1") == "43")
            #expect(try client.ask("version") == "1")
        }

        @Test(
            "A version that fails while the next is prepared: that is refused, and it is rolled back"
        )
        func failureDuring() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            let image = try slow(3, 1500).file(in: daemon.directory)
            let control = daemon.client
            let upgrade = Background { try control.upgrade("trial", image: image).decoded() }
            let next = Background {
                try control.upgrade("trial", image: image, wait: true).decoded()
            }
            try wait(for: "prepare") { try daemon.trial().phase == "prepare" }
            #expect(try client.ask("die 2") == "alive")
            #expect(try client.ask("sum 1") == "42")
            #expect(try client.ask("version") == "1")
            // Of the two the first one was refused; the other is taken after the rollback.
            try wait(for: "a verdict") { upgrade.isOver || next.isOver }
            let refused = try (upgrade.isOver ? upgrade : next).value()
            #expect(refused.verdict == .refused, "\(refused)")
            #expect(refused.reason?.contains("has failed") == true, "\(refused)")
            try wait(for: "the next upgrade") { try daemon.trial().phase == "prepare" }
            #expect(try client.ask("sum 1") == "43")
            try daemon.waitForSwitch(to: "3")
            try daemon.client.change(.confirm, "trial")
            #expect(try upgrade.value().service == next.value().service)
            #expect(try client.ask("sum 1") == "44")
        }

        @Test("Who waits for a confirmation is told when another upgrade comes before it")
        func overtaken() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let first = daemon.batonBeside(
                "upgrade", "trial", "--image", try slow(2).file(in: daemon.directory), "--wait")
            try daemon.waitForSwitch(to: "2")
            #expect(!first.isOver)
            // A refused one changes nothing for it.
            let bad = Trial(version: "3", writes: 2, takes: 1...2, plan: "crash-constructor")
            #expect(try daemon.upgrade(to: bad).verdict == .refused)
            #expect(!first.isOver)
            #expect(try daemon.upgrade(to: slow(3)).verdict == .upgraded)
            #expect(try first.value().exit == .code(0))

            // A rollback by hand is told as one.
            let again = daemon.batonBeside(
                "upgrade", "trial", "--image", try slow(4).file(in: daemon.directory), "--wait")
            try daemon.waitForSwitch(to: "4")
            #expect(try daemon.baton("rollback", "trial").exit == .code(0))
            let output = try again.value()
            #expect(output.exit == .code(1) && output.error.contains("rolled back"))
        }

        @Test(
            "Upgrades, rollbacks and kills in turn under load: nobody misses a reply, every sum right"
        )
        func underLoad() throws {
            let daemon = try TestDaemon(.firstTakesBoth, configuration: Self.long)
            let clients = try (0..<4).map { _ in
                try PipelinedClient(
                    TallyTalk(), path: daemon.runtime.serviceSocket("trial"), window: 8)
            }
            let images = try [Trial.second, .firstTakesBoth].map {
                try $0.file(in: daemon.directory)
            }
            let control = daemon.client
            let changes = Background {
                for round in 0..<12 {
                    let image = images[round % 2]
                    _ = try control.upgrade("trial", image: image).decoded()
                    switch round % 3 {
                    case 0: _ = try control.rollback("trial").decoded()
                    case 1:
                        let host = try control.status("trial").decoded().pid
                        if let host { _ = kill(pid_t(host), SIGKILL) }
                    default: try control.change(.confirm, "trial")
                    }
                }
            }
            try Crowd(clients).work { changes.isOver }
            try changes.value()
            let total = clients.map(\.sent).reduce(0, +)
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            #expect(clients.flatMap(\.talk.sums).sorted() == Array(1...total))
            #expect(try daemon.call("trial", "sum") == "\(total)")
            #expect(try daemon.call("trial", "count") == "\(total)")
            #expect(try daemon.trial().deadLetters == 0)
        }
    }
}
