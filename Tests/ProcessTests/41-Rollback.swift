// The way back: a new version that crashes, and one that the operator does not like. Nothing that was
// answered is forgotten, and nobody gets two replies.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("41 Rollback") struct Rollbacks {
        private static let long = "probation: 60s\n"

        @Test(
            "The new version crashes on its first message: the old one answers it; who waits learns it",
            arguments: [true, false])
        func first(waits: Bool) throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            let image = try Trial.second("crash-at 1").file(in: daemon.directory)
            let upgrade = daemon.batonBeside(
                "upgrade", "trial", "--image", image, waits ? "--wait" : "--json")
            if !waits { #expect(try upgrade.value().exit == .code(0)) }
            try daemon.waitForSwitch(to: "2")
            #expect(!waits || !upgrade.isOver)
            #expect(try daemon.trial().release == "provisional")

            #expect(try client.ask("sum 2") == "42")
            if waits {
                let output = try upgrade.value()
                #expect(output.exit == .code(1))
                #expect(output.error.contains("rolled back"), "\(output.error)")
                #expect(output.error.contains("signal 11"), "\(output.error)")
            }
            let verdict = try daemon.lastUpgrade(is: .rolledBack)
            #expect(verdict.from == "2" && verdict.to == "1" && verdict.release == "confirmed")
            #expect(verdict.reason?.contains("in its probation") == true, "\(verdict)")
            #expect(try client.ask("count") == "2")
            #expect(try client.ask("version") == "1")
            let status = try daemon.trial()
            #expect(status.state == .running && status.release == "confirmed")
            #expect(status.deadLetters == 0 && status.restarts == 0 && status.upgrades == 1)
            client.endInput()
            #expect(try client.remainingLines().isEmpty)
        }

        @Test(
            "It crashes in the midst of eight clients: one reply to each message, every sum right",
            arguments: ["commit", "none"])
        func hundredth(durability: String) throws {
            let daemon = try TestDaemon(
                .first, configuration: Self.long + "durability: \(durability)\n")
            let clients = try (0..<8).map { _ in
                try PipelinedClient(
                    TallyTalk(), path: daemon.runtime.serviceSocket("trial"), window: 4)
            }
            // Of these at most the 32 under way are not answered when it crashes.
            let image = try Trial.second("crash-at 200").file(in: daemon.directory)
            var upgrade: Background<Tool.Output>?
            var end = Int.max
            try Crowd(clients).work {
                let received = clients.map(\.received).reduce(0, +)
                if upgrade == nil, received > 500 {
                    upgrade = daemon.batonBeside("upgrade", "trial", "--image", image, "--wait")
                }
                if end == .max, upgrade?.isOver == true { end = received + 500 }
                return received >= end
            }
            let output = try #require(try upgrade?.value())
            #expect(output.exit == .code(1) && output.error.contains("rolled back"))
            let total = clients.map(\.sent).reduce(0, +)
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            #expect(clients.flatMap(\.talk.sums).sorted() == Array(1...total))
            #expect(try daemon.call("trial", "sum") == "\(total)")
            #expect(try daemon.call("trial", "count") == "\(total)")
            #expect(try daemon.call("trial", "version") == "1")
            let status = try daemon.trial()
            #expect(status.deadLetters == 0 && status.restarts == 0)
        }

        @Test(
            "It crashes between messages: the old one takes its state, or handles all again",
            arguments: [
                (Trial.firstTakesBoth, "from=2 format=2 downgrade=1"), (Trial.first, "none"),
            ])
        func stateOrReplay(old: Trial, origin: String) throws {
            let daemon = try TestDaemon(old, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("origin") == "from=1 format=1 downgrade=0")
            #expect(try client.ask("sum 1") == "41")
            #expect(try client.ask("sum 1") == "42")
            try daemon.killCurrent()
            try daemon.lastUpgrade(is: .rolledBack)
            #expect(try client.ask("sum") == "42")
            #expect(try client.ask("count") == "3")
            #expect(try client.ask("version") == "1")
            #expect(try client.ask("origin") == origin)
            // What it goes on with is its own.
            #expect(try client.ask("sum 1") == "43")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "43")
            #expect(try daemon.call("trial", "version") == "1")
        }

        @Test(
            "The old version cannot handle again what was settled: the new one goes on, and is kept",
            arguments: [
                (Trial(plan: "crash-at 4"), "sum 1", "43", "signal 11"),
                (Trial.first, "hang 1", "alive", "within 500 ms"),
            ])
        func replayFails(old: Trial, message: String, reply: String, cause: String) throws {
            let daemon = try TestDaemon(
                old, configuration: Self.long + "limits: {replay_timeout: 500ms}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            #expect(try client.ask("sum 1") == "42")
            #expect(try client.ask(message) == reply)
            let sum = try client.ask("sum")
            try daemon.killCurrent()
            let refused = try daemon.lastUpgrade(is: .refused)
            #expect(refused.phase == "load" && refused.from == "2" && refused.to == "1")
            #expect(refused.reason?.contains(cause) == true, "\(refused.reason ?? "")")
            #expect(try client.ask("sum") == sum)
            #expect(try client.ask("version") == "2")
            // It is not tried a second time; nor is anything left of it.
            let restarts = try daemon.trial().restarts
            try daemon.killCurrent()
            #expect(try client.ask("sum") == sum)
            let status = try daemon.trial()
            #expect(status.version == "2" && status.restarts == restarts + 1)
            #expect(status.lastUpgrade?.totalMicroseconds == refused.totalMicroseconds)
            #expect(ProcessTable.children(of: daemon.pid) == status.pid.map { [pid_t($0)] })
            // The operator takes another version then.
            #expect(try daemon.upgrade(to: .firstTakesBoth).verdict == .upgraded)
            #expect(try client.ask("sum") == sum)
        }

        @Test("By hand, in probation and after it: the version before, with all that was answered")
        func byHand() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            let rollback = try daemon.baton("rollback", "trial")
            #expect(rollback.exit == .code(0), "\(rollback.error)")
            #expect(rollback.output.contains("rolled back"), "\(rollback.output)")
            #expect(try client.ask("sum 1") == "42")
            #expect(try client.ask("version") == "1")
            #expect(try daemon.trial().release == "confirmed")

            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "43")
            try daemon.client.change(.confirm, "trial")
            #expect(try daemon.trial().release == "confirmed")
            #expect(try client.ask("sum 1") == "44")
            let late = try daemon.rollback()
            #expect(late.verdict == .rolledBack && late.to == "1", "\(late)")
            #expect(try client.ask("sum 1") == "45")
            #expect(try client.ask("count") == "6")
            #expect(try client.ask("version") == "1")
            // Nobody goes back from a confirmed release without a reason: no crash leads to it.
            #expect(try daemon.trial().release == "confirmed")
        }

        @Test(
            "By hand when the log has let go of what was since: with the state, or refused at once",
            arguments: [true, false])
        func afterTheLog(takesBoth: Bool) throws {
            let daemon = try TestDaemon(
                takesBoth ? .firstTakesBoth : .first, configuration: "probation: 0s\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            let long = String(repeating: "x", count: 100_000)
            try wait(for: "a log that lets go") {
                _ = try client.ask(long)
                return try daemon.client.mailbox("trial").decoded().oldestKept > 5
            }
            #expect(try client.ask("sum 2") == "42")
            let host = try daemon.trial().pid
            let verdict = try daemon.rollback()
            if takesBoth {
                #expect(verdict.verdict == .rolledBack, "\(verdict)")
                #expect(try client.ask("origin") == "from=2 format=2 downgrade=1")
            } else {
                #expect(verdict.verdict == .refused && verdict.phase == "prepare", "\(verdict)")
                #expect(verdict.reason?.contains("takes only 1") == true, "\(verdict)")
                #expect(try daemon.trial().pid == host)
            }
            #expect(try client.ask("sum 1") == "43")
            #expect(try client.ask("count") == "3")
            #expect(try client.ask("version") == (takesBoth ? "1" : "2"))
        }

        @Test(
            "By hand while a message is in hand: refused as busy, or forced; the old one gets it then"
        )
        func busy() throws {
            let daemon = try TestDaemon(
                .first, configuration: Self.long + "limits: {suspend_timeout: 300ms}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            try client.send("hang 2\nsum 1\n")
            try wait(for: "the message in hand") { try daemon.trial().messageInHand == 3 }
            let old = try daemon.trial().oldPid
            let refused = try daemon.baton("rollback", "trial")
            #expect(refused.exit == .code(1))
            #expect(refused.error.contains("busy: message 3"), "\(refused.error)")
            #expect(refused.error.contains("--force"), "\(refused.error)")
            // The old version stands where it stood.
            #expect(try daemon.trial().oldPid == old)
            let forced = try daemon.baton("rollback", "trial", "--force")
            #expect(forced.exit == .code(0), "\(forced.error)")
            #expect(try daemon.trial().pid == old)
            #expect(try client.lines(2) == ["alive", "42"])
            #expect(try client.ask("count") == "3")
            #expect(try daemon.trial().restarts == 0)
        }

        @Test(
            "A message in which the new version hangs: its time is bounded, the old one answers it")
        func hang() throws {
            let daemon = try TestDaemon(
                .first, configuration: Self.long + "limits: {handle_timeout: 400ms}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            try client.send("sum 1\nhang 2\nsum 1\n")
            #expect(try client.lines(3) == ["41", "alive", "42"])
            let verdict = try #require(try daemon.trial().lastUpgrade)
            #expect(verdict.verdict == .rolledBack)
            #expect(verdict.reason?.contains("handle_timeout") == true, "\(verdict)")
        }

        @Test("Suspended by hand: a rollback is made all the same, and what waits goes on waiting")
        func suspended() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            try daemon.client.change(.suspend, "trial")
            try client.send("die 2\nsum 1\n")
            try wait(for: "the messages") { try daemon.trial().waiting == 2 }
            #expect(try daemon.rollback().verdict == .rolledBack)
            let status = try daemon.trial()
            #expect(status.state == .suspended && status.waiting == 2 && status.version == "1")
            try daemon.client.change(.resume, "trial")
            #expect(try client.lines(2) == ["alive", "42"])
        }

        @Test("There is no version before: refused, and nothing happens")
        func nothingBefore() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let host = try daemon.trial().pid
            let rollback = try daemon.baton("rollback", "trial")
            #expect(rollback.exit == .code(1))
            #expect(rollback.error.contains("no version before 1"), "\(rollback.error)")
            #expect(try daemon.trial().pid == host)
            #expect(try daemon.baton("rollback", "nobody").exit == .code(4))
        }

        @Test(
            "Back and forward again, by hand, then back by itself: sums and counts right throughout"
        )
        func backAndForth() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            var (sum, count) = (0, 0)
            func add(_ version: String) throws {
                for addend in 1...3 {
                    sum += addend
                    count += 1
                    #expect(try client.ask("sum \(addend)") == "\(sum)")
                }
                #expect(try client.ask("count") == "\(count)")
                #expect(try client.ask("version") == version)
            }
            try add("1")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            try add("2")
            for to in ["1", "2", "1", "2"] {
                let verdict = try daemon.rollback()
                #expect(verdict.verdict == .rolledBack && verdict.to == to, "\(verdict)")
                try add(to)
            }
            #expect(try daemon.trial().release == "confirmed")
            #expect(try daemon.upgrade(to: .firstTakesBoth).verdict == .upgraded)
            try add("1")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            try add("2")
            #expect(try daemon.trial().release == "confirmed")
            let third = Trial(version: "3", writes: 1, takes: 1...2)
            #expect(try daemon.upgrade(to: third).verdict == .upgraded)
            try add("3")
            #expect(try client.ask("die 3") == "alive")
            try add("2")
            // From a version that failed by itself there is no way forward but an upgrade.
            #expect(try daemon.rollback().verdict == .refused)
            try add("2")
            #expect(try daemon.trial().upgrades == 4)
        }

        @Test("A rollback with 100,000 messages waiting: every one is handled, once")
        func backlog() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            try daemon.client.change(.suspend, "trial")
            for (message, count) in [("sum 1", 5000), ("echo", 90_000), ("sum 1", 5000)] {
                let sender = try PipelinedClient(
                    ReceiptTalk(service: "trial", message: message),
                    path: daemon.runtime.messageSocket, window: 1000, goal: count)
                try Crowd([sender]).work()
            }
            #expect(try daemon.upgrade(to: .second("crash-at 20000")).verdict == .upgraded)
            #expect(try daemon.trial().waiting == 100_000)
            try daemon.client.change(.resume, "trial")
            #expect(try daemon.call("trial", "sum") == "10000")
            #expect(try daemon.call("trial", "count") == "10000")
            let verdict = try #require(try daemon.trial().lastUpgrade)
            #expect(verdict.verdict == .rolledBack, "\(verdict)")
            #expect(try daemon.call("trial", "version") == "1")
        }

        @Test("Segments and replies larger than the ring between the switch and the crash")
        func largeReplies() throws {
            let daemon = try TestDaemon(.first, configuration: Self.long)
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            let large = String(repeating: "large ", count: 70_000)
            for number in 1...20 {
                #expect(try client.ask(large + "\(number)") == large + "\(number)")
                #expect(try client.ask("sum 1") == "\(40 + number)")
            }
            // What is in hand is large too.
            try client.send(large + "\ndie 2\n" + large + "\nsum 1\n")
            #expect(try client.lines(4) == [large, "alive", large, "61"])
            #expect(try client.ask("count") == "22")
            #expect(try client.ask("version") == "1")
            #expect(try daemon.trial().lastUpgrade?.verdict == .rolledBack)
        }
    }
}
