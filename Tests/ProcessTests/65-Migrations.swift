// A state that goes from version to version, and every way in which that goes wrong: refused in time,
// and the old state is what it was, byte for byte.

import BatonClient
import BatonCore
import BatonLinux
import BatonStore
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("65 Migrations") struct Migrations {
        /// Bounds short enough to wait for.
        private static let bounds = """
            probation: 0s
            limits:
              prepare_timeout: 2s
              migrate_timeout: 1s
            """

        let daemon: TestDaemon
        let client: LineClient
        /// Format 1: sum 42, count 2.
        static let state: [UInt8] = [1, 42, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]

        init() throws {
            daemon = try TestDaemon(configuration: Self.bounds)
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            client = try daemon.lines("trial")
            try client.send("sum 40\nsum 2\n")
            #expect(try client.lines(2) == ["40", "42"])
        }

        private func upgrade(to trial: Trial) throws -> ServiceVerdict {
            try daemon.upgrade("trial", to: try trial.file(in: daemon.directory))
        }

        /// The same host has the same state, and nothing of the candidate is left; a version that is
        /// well is taken then.
        private func expectUntouched(
            host: Int?, state: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            #expect(try client.ask("version") == "1", sourceLocation: sourceLocation)
            #expect(try client.ask("origin") == "none", sourceLocation: sourceLocation)
            let status = try daemon.status("trial")
            #expect(status.pid == host, sourceLocation: sourceLocation)
            #expect(
                status.state == .running && status.restarts == 0, sourceLocation: sourceLocation)
            try wait(for: "the candidate's end") {
                ProcessTable.children(of: daemon.pid) == host.map { [pid_t($0)] }
            }
            try daemon.killHard()
            #expect(try keptState() == state, sourceLocation: sourceLocation)
            try daemon.start()
            #expect(
                try upgrade(to: .second).verdict == .upgraded, sourceLocation: sourceLocation)
            #expect(try daemon.call("trial", "version") == "2", sourceLocation: sourceLocation)
        }

        /// The state in the mailbox, of a daemon that does not run.
        private func keptState() throws -> [UInt8]? {
            var report = Recovery.Report()
            let mailbox = try Recovery.open(
                service: try #require(ServiceName("trial")),
                path: "\(daemon.state)/mailboxes/trial", byteLimit: 1 << 30, report: &report)
            return mailbox.standing.state?.bytes
        }

        @Test(
            "A migration that goes wrong in prepare is refused, its cause named",
            arguments: [
                ("crash", "signal 11"), ("exit", "exit code 0"), ("nothing", "start returned 1"),
                ("refuse", "planned to be refused"), ("forget", "hands none over"),
                ("huge", "1073741824 bytes"), ("hang", "within 2"), ("late 3000", "within 2"),
            ])
        func prepare(what: String, cause: String) throws {
            let host = try daemon.status("trial").pid
            let verdict = try upgrade(to: .second("migration-\(what)"))
            #expect(verdict.verdict == .refused && verdict.phase == "prepare")
            #expect(verdict.reason?.contains(cause) == true, "\(verdict.reason ?? "no reason")")
            try expectUntouched(host: host, state: Self.state)
        }

        @Test(
            "A migration that goes wrong with the last state is refused in load, its cause named",
            arguments: [
                ("crash", "signal 11"), ("exit", "exit code 0"), ("nothing", "start returned 1"),
                ("forget", "hands none over"), ("huge", "1073741824 bytes"),
                ("hang", "within 1"), ("late 2000", "within 1"),
            ])
        func load(what: String, cause: String) throws {
            let host = try daemon.status("trial").pid
            // The state changes all the time, so the one that prepare saw is not the last.
            let count = 40
            try client.send(String(repeating: "sum 1 30\n", count: count))
            let verdict = try upgrade(to: .second("load-\(what)"))
            #expect(verdict.verdict == .refused && verdict.phase == "load")
            #expect(verdict.reason?.contains(cause) == true, "\(verdict.reason ?? "no reason")")
            #expect(try client.lines(count) == (1...count).map { "\(42 + $0)" })
            var state = Self.state
            state[1] += UInt8(count)
            state[9] += UInt8(count)
            try expectUntouched(host: host, state: state)
        }

        @Test("A migration that takes its time within the bound is taken; messages are answered")
        func late() throws {
            let image = try Trial.second("migration-late 1000").file(in: daemon.directory)
            let control = daemon.client
            let upgrade = Background { try control.upgrade("trial", image: image).decoded() }
            try wait(for: "prepare") { try daemon.status("trial").phase == "prepare" }
            #expect(try client.ask("version") == "1")
            #expect(try upgrade.value().verdict == .upgraded)
            #expect(try client.ask("sum 1") == "43")
            #expect(try client.ask("version") == "2")
        }

        @Test("Up, down and up again, with answered messages between: every sum and count is right")
        func upAndDown() throws {
            var (sum, count) = (42, 2)
            for (number, trial) in [
                Trial.second, .firstTakesBoth, .second, .firstTakesBoth, .second,
            ].enumerated() {
                #expect(try upgrade(to: trial).verdict == .upgraded)
                for addend in 1...5 {
                    sum += number * addend
                    count += 1
                    #expect(try client.ask("sum \(number * addend)") == "\(sum)")
                }
                #expect(try client.ask("count") == "\(count)")
                #expect(try client.ask("version") == trial.version)
            }
        }

        @Test(
            "A version that does not take the state of a later one is refused, and the format named"
        )
        func downgrade() throws {
            #expect(try upgrade(to: .second).verdict == .upgraded)
            #expect(try client.ask("sum 1") == "43")
            let verdict = try upgrade(to: .first)
            #expect(verdict.verdict == .refused && verdict.phase == "prepare")
            #expect(verdict.reason?.contains("format 2") == true, "\(verdict.reason ?? "")")
            #expect(try client.ask("sum 1") == "44")
        }

        @Test("The counter goes from version 1 to 3 directly")
        func counter() throws {
            let daemon = try TestDaemon(plugins: "counter")
            #expect(try daemon.call("counter", "5") == "5")
            let up = try daemon.upgrade("counter", to: Products.image("counter-3"))
            #expect(up.verdict == .upgraded)
            #expect(try daemon.call("counter", "7") == "12")
            #expect(try daemon.call("counter", "?") == "sum=12 count=1 mean=7.0")
        }
    }
}
