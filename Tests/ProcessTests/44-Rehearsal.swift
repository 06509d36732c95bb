// The rehearsal: before it takes over, a candidate handles the last messages in the shadow, and what it
// would have replied is compared with what was replied.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("44 Rehearsal") struct Rehearsals {
        private func upgrade(
            _ daemon: TestDaemon, to trial: Trial, rehearse: Int? = nil, allow: Int? = nil,
            dryRun: Bool = false
        ) throws -> ServiceVerdict {
            try daemon.client.upgrade(
                "trial", image: try trial.file(in: daemon.directory), rehearse: rehearse,
                allow: allow, dryRun: dryRun
            ).decoded()
        }

        /// Sums 1, 2, ... up to `count`, and as many echoes.
        private func daemon(
            _ count: Int, _ first: Trial = .first, configuration: String = ""
        ) throws -> (TestDaemon, LineClient) {
            let daemon = try TestDaemon(first, configuration: "probation: 0s\n" + configuration)
            let client = try daemon.lines("trial")
            for number in 1...max(1, count) where count > 0 {
                #expect(try client.ask("sum 1") == "\(number)")
                #expect(try client.ask("echo \(number)") == "echo \(number)")
            }
            return (daemon, client)
        }

        @Test("A candidate that replies the same is taken, and the number of messages told")
        func same() throws {
            let (daemon, client) = try daemon(20)
            let image = try Trial.second.file(in: daemon.directory)
            let upgrade = try daemon.baton(
                "upgrade", "trial", "--image", image, "--rehearse", "10")
            #expect(upgrade.exit == .code(0), "\(upgrade.error)")
            #expect(upgrade.output.contains("10"), "\(upgrade.output)")
            let verdict = try #require(try daemon.trial().lastUpgrade)
            #expect(verdict.verdict == .upgraded)
            #expect(verdict.rehearsed == 10 && verdict.differences == 0, "\(verdict)")
            // What it handled in the shadow did not count.
            #expect(try client.ask("sum 1") == "21")
            #expect(try client.ask("count") == "21")
            #expect(try client.ask("version") == "2")
            client.endInput()
            #expect(try client.remainingLines().isEmpty)
            try wait(for: "the end of the rehearsal's host") {
                ProcessTable.children(of: daemon.pid).count == 2
            }
        }

        @Test("Other replies are refused, with examples; as many as are allowed pass")
        func other() throws {
            let (daemon, client) = try daemon(10)
            let before = try daemon.trial()
            let candidate = Trial.second("differ")
            let image = try candidate.file(in: daemon.directory)
            let refused = try daemon.baton(
                "upgrade", "trial", "--image", image, "--rehearse", "12")
            #expect(refused.exit == .code(1))
            #expect(refused.error.contains("rehearsal: 6 of 12 replies differ"), "\(refused.error)")
            #expect(refused.error.contains("'5' became '~5'"), "\(refused.error)")
            let after = try daemon.trial()
            #expect(after.lastUpgrade?.verdict == .refused)
            #expect(after.lastUpgrade?.phase == "prepare")
            #expect(after.lastUpgrade?.rehearsed == 12 && after.lastUpgrade?.differences == 6)
            #expect(after.pid == before.pid && after.settled == before.settled)
            #expect(after.mailboxBytes == before.mailboxBytes && after.restarts == 0)
            #expect(try client.ask("sum 1") == "11")

            #expect(
                try self.upgrade(daemon, to: candidate, rehearse: 12, allow: 5).verdict
                    == .refused)
            let taken = try self.upgrade(daemon, to: candidate, rehearse: 12, allow: 6)
            #expect(taken.verdict == .upgraded && taken.differences == 6, "\(taken)")
            #expect(try client.ask("sum 1") == "~12")
        }

        @Test("As the configuration says; what the command says counts more")
        func configured() throws {
            let (daemon, client) = try daemon(
                10, configuration: "services: {trial: {rehearse: 8, rehearse_allow: 4}}\n")
            let candidate = Trial.second("differ")
            let allowed = try upgrade(daemon, to: candidate)
            #expect(allowed.verdict == .upgraded, "\(allowed)")
            #expect(allowed.rehearsed == 8 && allowed.differences == 4)
            for number in 11...20 { #expect(try client.ask("sum 1") == "~\(number)") }
            let refused = try daemon.reload(Trial.firstTakesBoth.image(), as: "trial")
            #expect(refused.verdict == .refused && refused.differences == 8, "\(refused)")
            let none = try upgrade(daemon, to: .firstTakesBoth, rehearse: 0)
            #expect(none.verdict == .upgraded && none.rehearsed == nil, "\(none)")
            #expect(try client.ask("sum") == "20")
        }

        @Test("More than was handled: all of it is rehearsed; nothing handled, nothing is")
        func few() throws {
            let (daemon, client) = try daemon(0)
            let none = try upgrade(daemon, to: .second, rehearse: 100)
            #expect(none.verdict == .upgraded && none.rehearsed == 0, "\(none)")
            for number in 1...3 { #expect(try client.ask("sum 1") == "\(number)") }
            let few = try upgrade(daemon, to: .firstTakesBoth, rehearse: 100)
            #expect(few.verdict == .upgraded && few.rehearsed == 3, "\(few)")
            // These were handled by another host; this one has none to show.
            let again = try upgrade(daemon, to: .second, rehearse: 100)
            #expect(again.verdict == .upgraded && again.rehearsed == 0, "\(again)")
            #expect(try client.ask("sum") == "3")
            #expect(try client.ask("count") == "3")
        }

        @Test(
            "A candidate that fails in the rehearsal is refused, and the current version goes on",
            arguments: [
                (Trial.second("crash-at 5"), "echo", "signal 11"),
                (Trial.second, "hang 2", "within"),
                (Trial.second, "die 2", "signal 11"),
                (Trial.second("migration-crash"), "echo", "signal 11"),
                (Trial.second("snapshot-huge"), "echo", "1073741824"),
            ])
        func fails(candidate: Trial, message: String, cause: String) throws {
            let (daemon, client) = try daemon(
                10, configuration: "limits: {prepare_timeout: 500ms}\n")
            _ = try client.ask(message)
            #expect(try client.ask("sum 1") == "11")
            let host = try daemon.trial().pid
            let refused = try upgrade(daemon, to: candidate, rehearse: 20)
            #expect(refused.verdict == .refused && refused.phase == "prepare", "\(refused)")
            #expect(refused.reason?.hasPrefix("rehearsal: ") == true, "\(refused)")
            #expect(refused.reason?.contains(cause) == true, "\(refused)")
            #expect(try client.ask("sum 1") == "12")
            #expect(try client.ask("count") == "12")
            let status = try daemon.trial()
            #expect(status.pid == host && status.restarts == 0)
            try wait(for: "the end of the candidate") {
                ProcessTable.children(of: daemon.pid) == host.map { [pid_t($0)] }
            }
            // Another attempt stands on the same ground.
            let taken = try upgrade(daemon, to: .second, rehearse: 1)
            #expect(taken.verdict == .upgraded && taken.rehearsed == 1, "\(taken)")
        }

        @Test(
            "While messages keep coming: no reply comes twice, and none of the shadow's comes at all"
        )
        func underLoad() throws {
            let (daemon, _) = try daemon(0)
            let clients = try (0..<4).map { _ in
                try PipelinedClient(
                    TallyTalk(), path: daemon.runtime.serviceSocket("trial"), window: 8)
            }
            let images = try [Trial.second("differ"), .second, .firstTakesBoth].map {
                try $0.file(in: daemon.directory)
            }
            let control = daemon.client
            var upgrades: Background<[ServiceVerdict]>?
            try Crowd(clients).work {
                if upgrades == nil, clients.allSatisfy({ $0.received > 200 }) {
                    upgrades = Background {
                        try images.map {
                            try control.upgrade("trial", image: $0, rehearse: 100).decoded()
                        }
                    }
                }
                return upgrades?.isOver == true
            }
            let verdicts = try #require(try upgrades?.value())
            #expect(verdicts.map(\.verdict) == [.refused, .upgraded, .upgraded], "\(verdicts)")
            #expect(verdicts.prefix(2).allSatisfy { $0.rehearsed == 100 }, "\(verdicts)")
            let total = clients.map(\.sent).reduce(0, +)
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            #expect(clients.flatMap(\.talk.sums).sorted() == Array(1...total))
            #expect(try daemon.call("trial", "sum") == "\(total)")
        }

        @Test(
            "Errors, dead letters and replies larger than the ring are rehearsed as what they are")
        func kinds() throws {
            let (daemon, client) = try daemon(3)
            let large = String(repeating: "large ", count: 70_000)
            #expect(try client.ask("die-all").hasPrefix("-POISON "))
            #expect(try client.ask(large) == large)
            for number in 4...8 { #expect(try client.ask("sum 1") == "\(number)") }
            let verdict = try upgrade(daemon, to: .second, rehearse: 100)
            #expect(verdict.verdict == .upgraded, "\(verdict)")
            #expect((verdict.rehearsed ?? 0) >= 5 && verdict.differences == 0, "\(verdict)")
            #expect(try client.ask("sum 1") == "9")
            #expect(try client.ask("count") == "9")
        }

        @Test("A dry run rehearses too, and changes nothing")
        func dryRun() throws {
            let (daemon, client) = try daemon(10)
            let host = try daemon.trial().pid
            let would = try upgrade(daemon, to: .second, rehearse: 5, dryRun: true)
            #expect(would.verdict == .wouldUpgrade && would.rehearsed == 5, "\(would)")
            let wouldNot = try upgrade(daemon, to: .second("differ"), rehearse: 5, dryRun: true)
            #expect(wouldNot.verdict == .refused, "\(wouldNot)")
            #expect(try client.ask("sum 1") == "11")
            #expect(try client.ask("version") == "1")
            let status = try daemon.trial()
            #expect(status.pid == host && status.upgrades == 0 && status.release == "confirmed")
            try wait(for: "the end of the candidates") {
                ProcessTable.children(of: daemon.pid) == host.map { [pid_t($0)] }
            }
        }
    }
}
