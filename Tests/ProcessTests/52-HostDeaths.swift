// kill -9 of a host at each point of an upgrade and of a rollback, under load: batond goes on, there is
// one verdict, one version is current, and every message has its reply.

import BatonClient
import BatonCore
import Foundation
import Testing

extension Processes {
    @Suite("52 A host dies at a point of an upgrade") struct HostDeaths {
        private static let third = Trial(version: "3", writes: 2, takes: 1...2)
        private static let fourth = Trial(version: "4", writes: 2, takes: 1...2)

        /// What there may be in the end: the version, and the verdicts told about it.
        private struct Ending: Hashable, CustomStringConvertible {
            var version: String
            var verdicts: [String]

            init(_ version: String, _ verdicts: String...) {
                self.version = version
                self.verdicts = verdicts
            }

            var description: String { "\(version) after \(verdicts)" }
        }

        /// Has `change` made under load, while hosts die as the daemon was told, and what follows from
        /// it; then looks whether all is well.
        /// - Parameter isTold: whether the log has that the host died.
        private func run(
            _ daemon: TestDaemon, isTold: Bool,
            _ change: @escaping @Sendable (BatonClient.Daemon) throws -> ServiceVerdict
        ) throws -> Ending {
            let shares = try Shares(daemon)
            let control = daemon.client
            let verdictsBefore = verdicts(daemon).count
            var changing: Background<ServiceVerdict>?
            var end: Int?
            try shares.work {
                if changing == nil, shares.received > 500 {
                    changing = Background { try change(control) }
                }
                if end == nil, changing?.isOver == true { end = shares.received + 2000 }
                return end.map { shares.received > $0 } ?? false
            }
            let verdict = try #require(try changing?.value())
            #expect(!shares.areCut)
            if isTold { #expect(daemon.logText.contains("signal 9"), "nobody was killed") }
            try shares.expectKept(by: daemon)

            let status = try daemon.status("trial")
            let version = try daemon.call("trial", "version")
            #expect(
                status.version == version && status.state == .running && status.phase == nil
                    && status.deadLetters == 0, "\(status)")
            var ending = Ending(version)
            ending.verdicts = Array(verdicts(daemon).dropFirst(verdictsBefore))
            let first = verdict.verdict == .rolledBack ? "rolled back" : verdict.verdict.rawValue
            #expect(ending.verdicts.first == first)

            // What ended is gone, and the next upgrade finds nothing in its way.
            let fourth = try Self.fourth.file(in: daemon.directory)
            #expect(try daemon.upgrade("trial", to: fourth).verdict == .upgraded)
            try shares.expectKept(by: daemon)
            try wait(for: "the end of every other host") {
                ProcessTable.hosts(of: daemon.pid).count <= 2
            }
            #expect(ProcessTable.zombies(of: daemon.pid).isEmpty)
            return ending
        }

        /// As the log tells them.
        private func verdicts(_ daemon: TestDaemon) -> [String] {
            daemon.logText.split(separator: "\n").compactMap { line in
                ["refused", "rolled back", "upgraded"].first { line.contains(" trial: \($0) ") }
            }
        }

        /// Version 2 is confirmed, version 1 is warm; then 3 comes, and `plan` is carried out.
        private func upgrade(_ plan: String, isTold: Bool = true) throws -> Ending {
            let daemon = try TestDaemon(configuration: "probation: 60s", dieAt: "\(plan):3")
            #expect(try daemon.reload(Trial.first.image(), as: "trial").verdict == .started)
            let second = try Trial.second.file(in: daemon.directory)
            #expect(try daemon.upgrade("trial", to: second).verdict == .upgraded)
            try daemon.client.change(.confirm, "trial")
            let third = try Self.third.file(in: daemon.directory)
            return try run(daemon, isTold: isTold) {
                try $0.upgrade("trial", image: third).decoded()
            }
        }

        @Test(
            "The current one: until the switch it is not needed, after it the new one is the current",
            arguments: FaultPoint.allCases)
        func current(point: FaultPoint) throws {
            let ending = try upgrade("current@\(point.rawValue)")
            switch point {
            case .prepare, .loaded, .suspended, .purged, .migrated, .switchWritten, .switchDurable:
                #expect(ending == Ending("3", "upgraded"))
            case .resumed: #expect(ending == Ending("2", "upgraded", "rolled back"))
            }
        }

        @Test(
            "The candidate: refused until the switch is written, rolled back or replaced after it",
            arguments: FaultPoint.allCases.filter { $0 != .resumed })
        func candidate(point: FaultPoint) throws {
            let ending = try upgrade("candidate@\(point.rawValue)")
            switch point {
            // If the state is the one that the candidate has, its death may be seen after the switch.
            case .purged where Products.areSanitized && ending == Ending("3", "upgraded"): break
            case .prepare, .loaded, .suspended, .purged: #expect(ending == Ending("2", "refused"))
            case .migrated, .switchWritten, .switchDurable, .resumed:
                #expect(
                    [Ending("3", "upgraded"), Ending("2", "upgraded", "rolled back")]
                        .contains(ending))
            }
        }

        @Test(
            "The old one: nobody needs it",
            arguments: [FaultPoint.prepare, .loaded, .suspended, .resumed])
        func old(point: FaultPoint) throws {
            // One that is purged meanwhile ends as it was asked to.
            let ending = try upgrade("old@\(point.rawValue)", isTold: point == .resumed)
            #expect(ending == Ending("3", "upgraded"))
        }

        /// The points that a rollback to a version that is still warm comes to.
        private static let rollbackPoints: [FaultPoint] = [
            .suspended, .purged, .migrated, .switchWritten, .switchDurable, .resumed,
        ]

        /// Version 2 is under test, version 1 is warm and is gone back to by hand.
        private func rollback(_ first: Trial, _ plan: String) throws -> Ending {
            let daemon = try TestDaemon(configuration: "probation: 60s", dieAt: "\(plan):3")
            #expect(try daemon.reload(first.image(), as: "trial").verdict == .started)
            let second = try Trial.second.file(in: daemon.directory)
            #expect(try daemon.upgrade("trial", to: second).verdict == .upgraded)
            return try run(daemon, isTold: true) { try $0.rollback("trial").decoded() }
        }

        @Test(
            "The current one in a rollback by hand: it is not needed; the one before is restarted",
            arguments: [Trial.first, .firstTakesBoth], rollbackPoints)
        func currentInRollback(first: Trial, point: FaultPoint) throws {
            #expect(
                try rollback(first, "current@\(point.rawValue)") == Ending("1", "rolled back"))
        }

        @Test(
            "The one before in a rollback by hand: refused until the switch is written",
            arguments: [Trial.first, .firstTakesBoth], rollbackPoints.filter { $0 != .resumed })
        func candidateInRollback(first: Trial, point: FaultPoint) throws {
            let ending = try rollback(first, "candidate@\(point.rawValue)")
            switch point {
            case .prepare, .loaded, .suspended, .purged: #expect(ending == Ending("2", "refused"))
            case .migrated, .switchWritten, .switchDurable, .resumed:
                #expect(ending == Ending("1", "rolled back"))
            }
        }
    }
}
