// The time in which a new version is on trial: what ends it, and what a crash means before and after.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("42 Probation") struct Probation {
        @Test("A crash after probation: restarted in place; the command that waited exits with 0")
        func after() throws {
            let daemon = try TestDaemon(.first, configuration: "probation: 300ms\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            let image = try Trial.second.file(in: daemon.directory)
            let upgrade = try daemon.baton("upgrade", "trial", "--image", image, "--wait")
            #expect(upgrade.exit == .code(0), "\(upgrade.error)")
            let status = try daemon.trial()
            #expect(status.release == "confirmed" && status.confirmedVersion == "2")
            #expect(status.probationMillisecondsLeft == nil)
            #expect(try client.ask("sum 2") == "42")
            try daemon.killCurrent()
            #expect(try client.ask("sum") == "42")
            #expect(try client.ask("version") == "2")
            // Of its own fault too: no other version is tried, the message is.
            #expect(try client.ask("die 2").hasPrefix("-POISON "))
            #expect(try client.ask("version") == "2")
            let last = try daemon.trial()
            #expect(last.restarts == 4 && last.deadLetters == 1)
            #expect(last.lastUpgrade?.verdict == .upgraded)
        }

        @Test("baton confirm ends it at once, and who waits; to confirm twice, or nothing, is well")
        func confirm() throws {
            let daemon = try TestDaemon(.first, configuration: "probation: 600s\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.baton("confirm", "trial").exit == .code(0))
            let image = try Trial.second.file(in: daemon.directory)
            let upgrade = daemon.batonBeside("upgrade", "trial", "--image", image, "--wait")
            try daemon.waitForSwitch(to: "2")
            let status = try daemon.trial()
            #expect(status.release == "provisional" && status.confirmedVersion == "1")
            #expect(status.images.map(\.role).contains("confirmed"))
            let left = try #require(status.probationMillisecondsLeft)
            #expect(1...600_000 ~= left)
            #expect(!upgrade.isOver)
            #expect(try daemon.baton("confirm", "trial").exit == .code(0))
            #expect(try upgrade.value().exit == .code(0))
            #expect(try daemon.baton("confirm", "trial").exit == .code(0))
            #expect(try daemon.trial().release == "confirmed")
            try daemon.killCurrent()
            #expect(try client.ask("sum 2") == "42")
            #expect(try client.ask("version") == "2")
            #expect(try daemon.baton("confirm", "nobody").exit == .code(4))
        }

        @Test("A reload that waits exits with 1 if one of its services is rolled back")
        func reload() throws {
            let daemon = try TestDaemon(
                .first, configuration: "probation: 600s\nservices: {ping: {probation: 300ms}}\n")
            try daemon.install(Products.image("ping"), as: "ping")
            _ = try daemon.client.reload()
            try daemon.install(Products.image("ping-2"), as: "ping")
            try daemon.install(Trial.second("crash-at 1").image(), as: "trial")
            let reload = daemon.batonBeside("reload", "--wait")
            try wait(for: "ping's confirmation") { try daemon.status("ping").version == "2" }
            try daemon.waitForSwitch(to: "2")
            try wait(for: "ping's confirmation") {
                try daemon.status("ping").release == "confirmed"
            }
            #expect(!reload.isOver)
            #expect(try daemon.call("trial", "sum 1") == "1")
            let output = try reload.value()
            #expect(output.exit == .code(1))
            #expect(output.output.contains("ping"), "\(output.output)")
            #expect(output.error.contains("rolled back"), "\(output.error)")
            #expect(try daemon.call("ping", "ping") == "pong")

            // The next reload, for another's sake, does not bring it back; who names it may.
            let next = try daemon.baton("reload")
            #expect(next.exit == .code(1))
            #expect(next.error.contains("was rolled back from"), "\(next.error)")
            #expect(try daemon.call("trial", "version") == "1")
            #expect(try daemon.baton("upgrade", "trial").exit == .code(0))
            #expect(try daemon.trial().version == "2")
        }

        @Test("What is kept for a rollback is bounded: beyond probation_bytes it is confirmed")
        func bytes() throws {
            let daemon = try TestDaemon(
                .first, configuration: "probation: 600s\nlimits: {probation_bytes: 1 MiB}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            let long = String(repeating: "x", count: 50_000)
            var kept = 0
            try wait(for: "the confirmation") {
                _ = try client.ask(long)
                kept = max(kept, try daemon.client.mailbox("trial").decoded().keptBytes)
                return try daemon.trial().release == "confirmed"
            }
            #expect(kept > 0)
            #expect(daemon.logText.contains("it has handled 1 MiB"))
            // And then the log lets go.
            try wait(for: "a log that is small again") {
                _ = try client.ask(long)
                let mailbox = try daemon.client.mailbox("trial").decoded()
                return mailbox.keptBytes == 0 && mailbox.oldestKept > 10
            }
            try daemon.killCurrent()
            #expect(try client.ask("sum 2") == "42")
            #expect(try client.ask("version") == "2")
        }

        @Test(
            "A second upgrade in the probation of the first: one step back, then to the confirmed")
        func twoSteps() throws {
            let daemon = try TestDaemon(.first, configuration: "probation: 600s\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 1") == "1")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "2")
            let third = Trial(version: "3", writes: 2, takes: 1...2)
            #expect(try daemon.upgrade(to: third).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "3")
            #expect(try daemon.trial().confirmedVersion == "1")
            #expect(try client.ask("die 3") == "alive")
            #expect(try client.ask("version") == "2")
            #expect(try client.ask("sum 1") == "4")
            let status = try daemon.trial()
            #expect(status.release == "provisional" && status.confirmedVersion == "1")
            // Its host has gone long ago: another is started, which handles all since the switch.
            #expect(try client.ask("die 2") == "alive")
            #expect(try client.ask("version") == "1")
            #expect(try client.ask("sum 1") == "5")
            #expect(try client.ask("count") == "5")
            #expect(try daemon.trial().release == "confirmed")
            #expect(try daemon.trial().deadLetters == 0)
        }

        @Test("The warm host of the old version is killed: a rollback starts another")
        func coldRollback() throws {
            let daemon = try TestDaemon(.first, configuration: "probation: 600s\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            let old = try #require(try daemon.trial().oldPid)
            _ = kill(pid_t(old), SIGKILL)
            try wait(for: "its end") { try daemon.trial().oldPid == nil }
            try client.send("die 2\nsum 1\n")
            #expect(try client.lines(2) == ["alive", "42"])
            #expect(try client.ask("version") == "1")
            #expect(try client.ask("count") == "3")
        }

        @Test("More crashes than may be, with a version before: rolled back once, then stopped")
        func crashLoop() throws {
            let daemon = try TestDaemon(
                .firstTakesBoth, configuration: "probation: 0s\nlimits: {restarts: 2}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 2") == "42")
            for _ in 1...2 { try daemon.killCurrent() }
            #expect(try daemon.trial().version == "2")
            try daemon.killCurrent()
            let verdict = try daemon.lastUpgrade(is: .rolledBack)
            #expect(verdict.reason?.contains("died more than 2 times") == true, "\(verdict)")
            #expect(try client.ask("sum") == "42")
            #expect(try client.ask("version") == "1")

            let host = try #require(try daemon.trial().pid)
            _ = kill(pid_t(host), SIGKILL)
            try wait(for: "the stop") { try daemon.trial().state == .stopped }
            let stopped = try daemon.trial()
            #expect(stopped.version == "1", "\(stopped)")
            #expect(stopped.reason?.contains("died") == true, "\(stopped.reason ?? "")")
            try client.send("sum 1\n")
            try daemon.client.change(.resume, "trial")
            #expect(try client.line() == "43")
        }

        @Test("A crash loop whose version before cannot take over: stopped, and no loop of its own")
        func hopelessLoop() throws {
            let daemon = try TestDaemon(
                Trial(plan: "crash-at 3"),
                configuration: "probation: 0s\nlimits: {restarts: 2}\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "41")
            #expect(try client.ask("sum 1") == "42")
            try wait(for: "the stop") {
                let status = try daemon.trial()
                if let host = status.pid, status.state == .running {
                    _ = kill(pid_t(host), SIGKILL)
                }
                return status.state == .stopped
            }
            let stopped = try daemon.trial()
            #expect(stopped.version == "2" && stopped.lastUpgrade?.verdict == .refused)
            let children = ProcessTable.children(of: daemon.pid)
            #expect(children.isEmpty)
            try daemon.client.change(.resume, "trial")
            #expect(try client.ask("sum") == "42")
        }
    }
}
