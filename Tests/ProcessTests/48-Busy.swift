// A version that is in the middle of a message when it is to be replaced: waited for, refused, or ended
// by force; and one that never comes to an end.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("48 A busy version") struct Busy {
        private static let second = Trial(version: "2")

        /// `trial` in its first version, confirmed at once like every later one.
        private func start(_ limits: String) throws -> (TestDaemon, LineClient) {
            let daemon = try TestDaemon(configuration: "probation: 0s\nlimits: {\(limits)}\n")
            #expect(try daemon.reload(Trial.first.image(), as: "trial").verdict == .started)
            return (daemon, try daemon.lines("trial"))
        }

        /// Sends a message that takes its time, and waits until it is in hand.
        private func occupy(
            _ daemon: TestDaemon, _ client: LineClient, with message: String,
            _ service: String = "trial"
        ) throws {
            try client.send(message + "\n")
            try wait(for: "the message in hand") {
                try daemon.status(service).messageInHand != nil
            }
        }

        @Test("A message that ends within the bound is waited for; the next ones are the new one's")
        func waits() throws {
            let (daemon, client) = try start("suspend_timeout: 20s")
            #expect(try client.ask("sum 1") == "1")
            let image = try Self.second.file(in: daemon.directory)
            try occupy(daemon, client, with: "sum 2 1200")
            let control = daemon.client
            let upgrade = Background { try control.upgrade("trial", image: image).decoded() }
            try wait(for: "the suspension") { try daemon.status("trial").phase == "suspend" }
            try client.send("version\nsum 4\n")
            #expect(try client.lines(3) == ["3", "2", "7"])
            #expect(try upgrade.value().verdict == .upgraded)
            #expect(try client.ask("count") == "3")
            #expect(try daemon.status("trial").restarts == 0)
        }

        @Test(
            "One that does not is the reason of a refusal, with its time; nothing is suspended later"
        )
        func refuses() throws {
            let (daemon, client) = try start("suspend_timeout: 300ms")
            #expect(try client.ask("sum 1") == "1")
            let host = try daemon.status("trial").pid
            try occupy(daemon, client, with: "sum 2 1500")
            let verdict = try daemon.upgrade("trial", to: Self.second.file(in: daemon.directory))
            #expect(verdict.verdict == .refused && verdict.phase == "suspend")
            let reason = try #require(verdict.reason)
            #expect(
                reason.contains(/busy: message 2 has been handled for [0-9.]+ (ms|s)\b/)
                    && reason.contains("--force"), "\(reason)")
            // Still in the message: what it was asked to do has been taken back.
            #expect(try daemon.status("trial").messageInHand == 2)
            for number in 1...500 { try client.send("sum \(number)\n") }
            #expect(try client.line() == "3")
            #expect(try client.lines(500).last == "\(3 + 500 * 501 / 2)")
            #expect(try client.ask("version") == "1")
            let status = try daemon.status("trial")
            #expect(status.state == .running && status.pid == host && status.restarts == 0)
        }

        @Test("Force ends it, and the new version is given that message")
        func force() throws {
            let (daemon, client) = try start("suspend_timeout: 300ms")
            #expect(try client.ask("sum 1") == "1")
            try occupy(daemon, client, with: "sum 2 1000")
            try client.send("sum 4\nversion\n")
            let image = try Self.second.file(in: daemon.directory)
            let forced = try daemon.baton("upgrade", "trial", "--image", image, "--force")
            #expect(forced.exit == .code(0), "\(forced.error)")
            #expect(try daemon.status("trial").messageInHand == 2)
            #expect(try client.lines(3) == ["3", "7", "2"])
            #expect(try client.ask("count") == "3")
        }

        @Test("The time of a verdict begins when it was asked for, also behind another upgrade")
        func total() throws {
            let (daemon, client) = try start("suspend_timeout: 20s")
            let images = try ["2", "3"].map { try Trial(version: $0).file(in: daemon.directory) }
            try occupy(daemon, client, with: "sleep 800")
            let control = daemon.client
            let first = Background { try control.upgrade("trial", image: images[0]).decoded() }
            try wait(for: "the suspension") { try daemon.status("trial").phase == "suspend" }
            let asked = ContinuousClock.now
            let second = Background { try control.upgrade("trial", image: images[1]).decoded() }
            #expect(try first.value().verdict == .upgraded)
            let waited = asked.duration(to: .now)
            let verdict = try second.value()
            #expect(verdict.verdict == .upgraded)
            #expect(.microseconds(verdict.totalMicroseconds) * 2 > waited, "\(verdict), \(waited)")
        }

        @Test("A message that ends as the bound passes leaves either version, and no suspension")
        func race() throws {
            let (daemon, client) = try start("suspend_timeout: 200ms")
            var (version, sum) = (1, 0)
            for milliseconds in stride(from: 180, through: 260, by: 10) {
                sum += 1
                try occupy(daemon, client, with: "sum 1 \(milliseconds)")
                let next = Trial(version: "\(version + 1)")
                let verdict = try daemon.upgrade("trial", to: next.file(in: daemon.directory))
                #expect([.upgraded, .refused].contains(verdict.verdict))
                if verdict.verdict == .upgraded { version += 1 }
                #expect(try client.line() == "\(sum)")
                #expect(try client.ask("version") == "\(version)")
            }
            #expect(try daemon.status("trial").restarts == 0)
        }

        @Test("Twenty busy services are waited for side by side, not one after the other")
        func sideBySide() throws {
            let daemon = try TestDaemon(configuration: "limits: {suspend_timeout: 1s}\n")
            let names = (1...20).map { "busy-\($0)" }
            for name in names { try daemon.install(Trial.first.image(), as: name) }
            #expect(try daemon.client.reload().decoded().allSatisfy { $0.verdict == .started })
            let clients = try names.map { name in
                let client = try daemon.lines(name)
                try occupy(daemon, client, with: "sleep 600000", name)
                return client
            }
            let image = try Self.second.file(in: daemon.directory)
            let one = try ContinuousClock().measure {
                let verdict = try daemon.upgrade(names[0], to: image)
                #expect(verdict.verdict == .refused)
            }
            for name in names { try daemon.install(Self.second.image(), as: name) }
            let all = try ContinuousClock().measure {
                let verdicts = try daemon.client.reload().decoded()
                #expect(verdicts.count == 20)
                #expect(verdicts.allSatisfy { $0.verdict == .refused && $0.phase == "suspend" })
            }
            print("a busy service was waited for \(one), twenty together \(all)")
            #expect(all < one * 5)
            withExtendedLifetime(clients) {}
        }

        @Test("A message that hangs is ended by handle_timeout, which counts, until it is POISON")
        func hangs() throws {
            let (daemon, client) = try start("handle_timeout: 400ms")
            try client.send("sum 1\nsleep 600000\nsum 2\n")
            #expect(try client.line() == "1")
            let poison = try #require(try client.line())
            #expect(poison.hasPrefix("-POISON message 2 killed its host 3 times"), "\(poison)")
            #expect(try client.line() == "3")
            #expect(daemon.logText.contains("handle_timeout is 400"), "\(daemon.logText)")
            let status = try daemon.status("trial")
            #expect(status.restarts == 3 && status.deadLetters == 1)
        }

        @Test(
            "A host that was stopped is ended by handle_timeout, and the message in hand is charged",
            arguments: [true, false])
        func isStopped(hasMessage: Bool) throws {
            let (daemon, client) = try start("handle_timeout: 500ms")
            #expect(try client.ask("sum 1") == "1")
            let host = try #require(try daemon.status("trial").pid)
            if hasMessage { try occupy(daemon, client, with: "sum 0 300") }
            #expect(kill(pid_t(host), SIGSTOP) == 0)
            try client.send("sum 2\nsum 3\n")
            #expect(try client.lines(hasMessage ? 3 : 2).last == "6")
            let status = try daemon.status("trial")
            #expect(status.restarts == 1 && status.deadLetters == 0 && status.pid != host)
            #expect(daemon.logText.contains("handle_timeout is 500"), "\(daemon.logText)")
            // One that was at rest has not begun with any.
            #expect(daemon.logText.contains("in hand: message 2") == hasMessage)
        }

        @Test("The time that one host has spent is not counted against the next")
        func ownTime() throws {
            let (daemon, client) = try start("handle_timeout: 1s")
            for _ in 1...2 {
                // Nearly the bound, twice.
                try occupy(daemon, client, with: "sleep 700")
                usleep(500_000)
                if let host = try daemon.status("trial").pid { _ = kill(pid_t(host), SIGKILL) }
                #expect(try client.line() == "slept")
            }
            try client.send("sleep 700\nsleep 700\n")
            #expect(try client.lines(2) == ["slept", "slept"])
            #expect(try daemon.status("trial").restarts == 2)
        }

        @Test("Refused upgrades give a message that hangs no more time")
        func hangsWhileUpgraded() throws {
            let (daemon, client) = try start("handle_timeout: 1s, suspend_timeout: 150ms")
            #expect(try client.ask("sum 1") == "1")
            let image = try Self.second.file(in: daemon.directory)
            try occupy(daemon, client, with: "sleep 600000")
            try client.send("version\n")
            var refusals = 0
            try wait(for: "an upgrade between two attempts, or the end of the message") {
                let verdict = try daemon.upgrade("trial", to: image).verdict
                refusals += verdict == .refused ? 1 : 0
                return verdict != .refused || refusals > 30
            }
            #expect(refusals > 1 && refusals <= 30)
            #expect(try client.line()?.hasPrefix("-POISON message 2 ") == true)
            #expect(try client.line() == "2")
        }

        @Test("With a handle_timeout of zero a message takes as long as it likes")
        func noBound() throws {
            let (daemon, client) = try start("handle_timeout: 0s")
            #expect(try client.ask("sleep 1000") == "slept")
            #expect(try daemon.status("trial").restarts == 0)
        }
    }
}
