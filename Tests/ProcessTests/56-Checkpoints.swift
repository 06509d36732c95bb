// A service whose state is too large for the log: it lies in slots, through every kind of end, upgrade
// and rollback, through a slot that rots and a disk that is full.

import BatonClient
import BatonCore
import BatonLinux
import BatonStore
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("56 Checkpoints") struct Checkpoints {
        private static let long = "probation: 60s\n"

        /// The version 1 of `trial`, with 1 MiB of state; its sum is 40.
        private func heavy(
            _ trial: Trial = .first, _ configuration: String = long, kilobytes: Int = 1024
        ) throws -> TestDaemon {
            let daemon = try TestDaemon(trial, configuration: configuration)
            #expect(try daemon.call("trial", "weigh \(kilobytes)") == "weighs \(kilobytes)")
            #expect(try daemon.call("trial", "sum 40") == "40")
            return daemon
        }

        private func mailbox(_ daemon: TestDaemon) -> String { "\(daemon.state)/mailboxes/trial" }

        private func slots(_ daemon: TestDaemon) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: mailbox(daemon)).sorted()
                .filter { $0.hasPrefix("checkpoint") }
        }

        private func rot(_ slot: String, _ daemon: TestDaemon) throws {
            let path = "\(mailbox(daemon))/\(slot)"
            let file = try Descriptor.open(path, flags: O_RDWR)
            var byte: UInt8 = 0
            #expect(unsafe pread(file.number, &byte, 1, 9000) == 1)
            byte ^= 0x10
            #expect(unsafe pwrite(file.number, &byte, 1, 9000) == 1)
        }

        /// The slot with the last state, as the log of a batond that has ended names it.
        private func newestSlot(_ daemon: TestDaemon) throws -> String {
            let service = try #require(ServiceName("trial"))
            let standing = Survey(service, path: mailbox(daemon)).standing
            return CheckpointSlot.fileName(try #require(standing.state?.checkpoint).slot)
        }

        // MARK: Ends

        @Test("kill -9 of the host and of batond, in the midst of clients: every sum is right")
        func killed() throws {
            let daemon = try heavy(.first, Self.long, kilobytes: 300)
            #expect(try slots(daemon) == ["checkpoint.a", "checkpoint.b"])
            var sum = 40
            for round in 0..<6 {
                let clients = try (0..<3).map { _ in
                    try PipelinedClient(
                        TallyTalk(), path: daemon.runtime.serviceSocket("trial"), window: 4)
                }
                let end = 20 + 7 * round
                try Crowd(clients).work { clients.map(\.received).reduce(0, +) >= end }
                let received = clients.map(\.received).reduce(0, +)
                let sent = clients.map(\.sent).reduce(0, +)
                if round % 2 == 0 {
                    try daemon.killCurrent()
                } else {
                    try daemon.killHard()
                    try daemon.start()
                }
                var now = 0
                try wait(for: "what was sent") {
                    now = Int(try daemon.call("trial", "sum")) ?? 0
                    return try daemon.trial().waiting == 0
                }
                #expect(now >= sum + received && now <= sum + sent, "round \(round)")
                sum = now
            }
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "\(sum)")
            #expect(try daemon.trial().deadLetters == 0)
        }

        @Test("Large states by `interval` and `none`: the slots are not written over too soon")
        func notGated() throws {
            for durability in ["interval", "none"] {
                let daemon = try heavy(
                    .first, Self.long + "durability: \(durability)\n", kilobytes: 100)
                for number in 1...50 {
                    #expect(try daemon.call("trial", "sum 1") == "\(40 + number)")
                }
                try daemon.killHard()
                try daemon.start()
                #expect(try daemon.call("trial", "sum") == "90")
            }
        }

        // MARK: Upgrades

        @Test("Upgraded and rolled back by a replay: the state goes along, in the third slot")
        func upgradeAndRollback() throws {
            let daemon = try heavy()
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            for number in 1...5 {
                #expect(try daemon.call("trial", "sum 1") == "\(40 + number)")
            }
            #expect(try slots(daemon) == ["checkpoint.a", "checkpoint.b", "checkpoint.c"])
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.trial().version == "2")
            #expect(try daemon.call("trial", "sum 1") == "46")
            // It takes only format 1: it handles again what was settled since, from the old slot.
            #expect(try daemon.rollback().verdict == .rolledBack)
            #expect(try daemon.call("trial", "version") == "1")
            #expect(try daemon.call("trial", "sum") == "46")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("trial", "sum 1") == "47")
            #expect(try daemon.call("trial", "count") == "8")
            #expect(try daemon.trial().version == "1")
        }

        @Test("A new version that crashes is rolled back from, with its large state")
        func crashes() throws {
            let daemon = try heavy()
            #expect(try daemon.upgrade(to: .second("crash-at 4")).verdict == .upgraded)
            let client = try daemon.lines("trial")
            for number in 1...8 { #expect(try client.ask("sum 1") == "\(40 + number)") }
            try daemon.lastUpgrade(is: .rolledBack)
            #expect(try client.ask("version") == "1")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "48")
        }

        // MARK: Row 13

        @Test("A rotten slot: the earlier state, a longer replay, a warning; what waits follows")
        func rottenSlot() throws {
            let daemon = try heavy()
            for number in 1...5 {
                #expect(try daemon.call("trial", "sum \(number)") != "")
            }
            try daemon.client.change(.suspend, "trial")
            for _ in 1...3 { _ = try daemon.client.send("trial", Array("sum 1".utf8)) }
            try daemon.killHard()
            let rotten = try newestSlot(daemon)
            try rot(rotten, daemon)

            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "58")
            #expect(try daemon.call("trial", "count") == "9")
            #expect(daemon.logText.contains("a checkpoint is damaged"))
            #expect(daemon.logText.contains(rotten))
            let status = try daemon.trial()
            #expect(status.state == .running && status.version == "1")
            #expect(status.deadLetters == 0 && status.upgrades == 0)
            #expect(
                status.images.first { $0.role == "current" }?.cause
                    == "its state's checkpoint was damaged")
            // It is whole again, and what was damaged is written over.
            #expect(try daemon.call("trial", "sum 1") == "59")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "59")
            #expect(daemon.logText.components(separatedBy: "a checkpoint is damaged").count == 2)
        }

        @Test("A rotten slot in probation: it comes to its state, and can be rolled back")
        func rottenInProbation() throws {
            let daemon = try heavy()
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            for _ in 1...3 { _ = try daemon.call("trial", "sum 1") }
            try daemon.killHard()
            try rot(try newestSlot(daemon), daemon)
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "43")
            #expect(try daemon.trial().version == "2")
            #expect(try daemon.trial().release == "provisional")
            #expect(try daemon.rollback().verdict == .rolledBack)
            #expect(try daemon.call("trial", "sum") == "43")
        }

        @Test("Both slots rotten: quarantined, the place named, nothing changed; neighbours answer")
        func bothRotten() throws {
            let daemon = try heavy()
            for _ in 1...3 { _ = try daemon.call("trial", "sum 1") }
            try daemon.install(Products.image("ping"), as: "ping")
            _ = try daemon.client.reload()
            try daemon.killHard()
            for slot in try slots(daemon) { try rot(slot, daemon) }
            let before = try contents(daemon)
            try daemon.start()
            let status = try daemon.trial()
            #expect(status.state == .quarantined)
            #expect(status.reason?.contains("checkpoint.") == true, "\(status.reason ?? "")")
            #expect(try daemon.call("ping", "ping") == "pong")
            #expect(try contents(daemon) == before)
        }

        private func contents(_ daemon: TestDaemon) throws -> [String: Data] {
            var all: [String: Data] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: mailbox(daemon)) {
                all[name] = try Data(contentsOf: URL(filePath: "\(mailbox(daemon))/\(name)"))
            }
            return all
        }

        @Test("That replay fails: the service stops and says so; resume tries again")
        func replayFails() throws {
            let daemon = try TestDaemon(Trial(plan: "crash-at 3"), configuration: Self.long)
            #expect(try daemon.call("trial", "weigh 200") == "weighs 200")
            #expect(try daemon.call("trial", "sum 5") == "5")
            // What follows does not change the state; no host handles three messages but in a replay.
            for _ in 1...2 {
                try daemon.killCurrent()
                for _ in 1...2 { #expect(try daemon.call("trial", "echo") == "echo") }
            }
            try daemon.killHard()
            let rotten = try newestSlot(daemon)
            try rot(rotten, daemon)
            let slot = try Data(contentsOf: URL(filePath: "\(mailbox(daemon))/\(rotten)"))
            try daemon.start()
            for _ in 1...2 {
                try wait(for: "it to stop") { try daemon.trial().state == .stopped }
                let reason = try daemon.trial().reason ?? ""
                #expect(reason.contains("its state's checkpoint is damaged"), "\(reason)")
                #expect(reason.contains("handled messages again"), "\(reason)")
                try daemon.client.change(.resume, "trial")
            }
            try wait(for: "it to stop") { try daemon.trial().state == .stopped }
            // Nobody goes on from a state that is not the last; what comes is kept.
            _ = try daemon.client.send("trial", Array("sum 1".utf8))
            let verdict = try daemon.upgrade(to: .second)
            #expect(verdict.verdict == .refused, "\(verdict)")
            #expect(verdict.reason?.contains("checkpoint is damaged") == true, "\(verdict)")
            #expect(try daemon.trial().waiting == 1)
            try daemon.killHard()
            #expect(try Data(contentsOf: URL(filePath: "\(mailbox(daemon))/\(rotten)")) == slot)
            // The slot was restored.
            try rot(rotten, daemon)
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "6")
        }

        // MARK: Row 10

        @Test(
            "No room for a larger state: the old one is kept, the service waits, its neighbours go on",
            .enabled(if: geteuid() == 0, "mounts a file system"))
        func noRoom() throws {
            let daemon = try TestDaemon(plugins: "ping", configuration: Self.long)
            try daemon.stop()
            let mount = try Tool.run(
                "mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "none", daemon.state)
            guard mount.exit == .code(0) else {
                // Root in a container may not mount.
                print("the full disk is not tested: \(mount.error)")
                return
            }
            defer {
                try? daemon.killHard()
                _ = try? Tool.run("umount", "-l", daemon.state)
            }
            try daemon.start()
            _ = try daemon.reload(Trial.first.image(), as: "trial")
            #expect(try daemon.call("trial", "weigh 200") == "weighs 200")
            for number in 1...3 { #expect(try daemon.call("trial", "sum 1") == "\(number)") }
            let fill = try Descriptor.open(
                "\(daemon.state)/fill", flags: O_WRONLY | O_CREAT, mode: 0o600)
            let block = [UInt8](repeating: 120, count: 4096)
            while unsafe write(fill.number, block, block.count) > 0 {}
            #expect(errno == ENOSPC)

            // A state that fits into its slot needs no room.
            #expect(try daemon.call("trial", "sum 1") == "4")
            let files = try FileManager.default.contentsOfDirectory(atPath: mailbox(daemon))
            let heavier = try daemon.lines("trial")
            try heavier.send("weigh 2000\n")
            try wait(for: "the warning") { daemon.logText.contains("no room for its state") }
            let explained = try daemon.baton("explain", "trial").output
            #expect(explained.contains("no room on the disk for its state"), "\(explained)")
            for _ in 1...20 { #expect(try daemon.call("ping", "ping") == "pong") }
            #expect(try daemon.trial().waiting == 1)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: mailbox(daemon)).sorted()
                    == files.sorted())
            // It is as it was for who starts batond now.
            try daemon.killHard()
            try daemon.start()
            try wait(for: "the warning again") {
                daemon.logText.components(separatedBy: "no room for its state").count > 2
            }
            #expect(unsafe unlink("\(daemon.state)/fill") == 0)
            _ = consume fill
            try wait(for: "room") { try daemon.trial().waiting == 0 }
            #expect(try daemon.call("trial", "sum 1") == "5")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("trial", "sum") == "5")
            #expect(try daemon.trial().restarts == 0)
        }
    }
}
