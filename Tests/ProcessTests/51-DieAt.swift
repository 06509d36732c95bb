// kill -9 of batond at each point of an upgrade and of a rollback, under load: after the next start one
// version is current, no host is left of the batond that died, and what clients were told is true.

import BatonClient
import BatonCore
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("51 batond dies at a point of an upgrade") struct DieAt {
        private static let third = Trial(version: "3", writes: 2, takes: 1...2)

        /// A trial that batond dies of when it comes to `point` for the `time`th time.
        private func start(_ first: Trial, at point: FaultPoint, _ time: Int) throws
            -> TestDaemon
        {
            let daemon = try TestDaemon(
                configuration: "probation: 60s", dieAt: "\(point.rawValue):\(time)")
            #expect(try daemon.reload(first.image(), as: "trial").verdict == .started)
            return daemon
        }

        /// Has `change` made under load, until batond dies of it; then starts another.
        private func perish(
            _ daemon: TestDaemon, _ shares: Shares,
            by change: @escaping @Sendable (BatonClient.Daemon) throws -> Void
        ) throws {
            let control = daemon.client
            var changing: Background<Void>?
            var most: Int?
            try shares.work {
                if changing == nil, shares.received > 500 {
                    changing = Background { try change(control) }
                }
                // Long enough for what follows a change; then nobody died.
                if most == nil, changing?.isOver == true { most = shares.received + 20_000 }
                return most.map { shares.received > $0 } ?? false
            }
            if !shares.areCut { try changing?.value() }
            try #require(shares.areCut, "batond did not die")
            let pid = daemon.pid
            #expect(try daemon.end() == .signal(9))
            _ = try? changing?.value()
            try daemon.start()
            try wait(for: "the end of the hosts of the batond that died") {
                ProcessTable.hosts(of: pid).isEmpty
            }
        }

        /// One version is current, and the next upgrade finds nothing in its way.
        private func expectOne(
            of versions: Set<String>, _ daemon: TestDaemon, _ shares: Shares,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let version = try daemon.call("trial", "version")
            try shares.expectKept(by: daemon, sourceLocation: sourceLocation)
            let status = try daemon.status("trial")
            #expect(versions.contains(version), sourceLocation: sourceLocation)
            #expect(
                status.version == version && status.state == .running && status.phase == nil
                    && status.deadLetters == 0, "\(status)", sourceLocation: sourceLocation)
            #expect(
                status.release == (version == "2" ? "provisional" : "confirmed"),
                sourceLocation: sourceLocation)
            #expect(
                ProcessTable.hosts(of: daemon.pid).map(Int.init) == [status.pid],
                sourceLocation: sourceLocation)
            let image = try Self.third.file(in: daemon.directory)
            #expect(
                try daemon.upgrade("trial", to: image).verdict == .upgraded,
                sourceLocation: sourceLocation)
            #expect(try daemon.call("trial", "version") == "3", sourceLocation: sourceLocation)
            try shares.expectKept(by: daemon, sourceLocation: sourceLocation)
        }

        @Test(
            "Of an upgrade: before the switch it is the old version, from its durability on the new",
            arguments: FaultPoint.allCases)
        func upgrade(point: FaultPoint) throws {
            let daemon = try start(.first, at: point, 2)
            let shares = try Shares(daemon)
            let image = try Trial.second.file(in: daemon.directory)
            try perish(daemon, shares) { _ = try $0.upgrade("trial", image: image) }
            let versions: Set<String> =
                switch point {
                case .prepare, .loaded, .suspended, .purged, .migrated: ["1"]
                case .switchWritten: ["1", "2"]
                case .switchDurable, .resumed: ["2"]
                }
            try expectOne(of: versions, daemon, shares)
        }

        /// How the version before comes to the state.
        enum Way: String, CaseIterable {
            /// It takes it as it is; it handles again what was settled since the switch.
            case state, replay
        }

        /// The points that a rollback to a version that is still warm comes to.
        private static let rollbackPoints: [FaultPoint] = [
            .suspended, .purged, .migrated, .switchWritten, .switchDurable, .resumed,
        ]

        @Test(
            "Of a rollback by hand: before the switch it is the new version, after it the one before",
            arguments: Way.allCases, rollbackPoints)
        func rollback(way: Way, point: FaultPoint) throws {
            let daemon = try start(
                way == .state ? .firstTakesBoth : .first, at: point, 3)
            let shares = try Shares(daemon)
            let image = try Trial.second.file(in: daemon.directory)
            try perish(daemon, shares) {
                _ = try $0.upgrade("trial", image: image)
                _ = try $0.rollback("trial")
            }
            let versions: Set<String> =
                switch point {
                case .prepare, .loaded, .suspended, .purged, .migrated: ["2"]
                case .switchWritten: ["1", "2"]
                case .switchDurable, .resumed: ["1"]
                }
            try expectOne(of: versions, daemon, shares)
        }

        @Test(
            "Of a rollback by itself: the next batond begins it again, if it was not durable",
            arguments: rollbackPoints)
        func crash(point: FaultPoint) throws {
            let daemon = try start(.first, at: point, 3)
            let shares = try Shares(daemon)
            let image = try Trial.second.file(in: daemon.directory)
            let path = daemon.runtime.serviceSocket("trial")
            try perish(daemon, shares) {
                _ = try $0.upgrade("trial", image: image)
                let client = try LineClient(path: path)
                try client.send("die 2\n")
                _ = try client.line()
            }
            try wait(for: "the version before") { try daemon.call("trial", "version") == "1" }
            try expectOne(of: ["1"], daemon, shares)
        }
    }
}
