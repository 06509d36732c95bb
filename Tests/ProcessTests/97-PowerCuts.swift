// Power cuts, for real: batond's state on ext4 and xfs, on a disk with a volatile cache whose power is cut
// under load, in an upgrade, and in the recovery from the cut before; of what was not flushed, none, all or
// some sectors have reached the disk. Hundreds of them: BATON_CUTS=500.

import BatonClient
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite(
        "97 Power cuts",
        .enabled(
            if: PowerDisk.obstacle(.ext4, .xfs) == nil, "\(PowerDisk.obstacle(.ext4, .xfs) ?? "")"))
    struct PowerCuts {
        private enum Moment: String, CaseIterable {
            case load, upgrade, recovery
        }

        /// A machine: batond on a disk, and what is known outside of it.
        private final class Machine {
            let daemon: TestDaemon
            let disk: PowerDisk
            let ledger = Ledger()
            var dice: Dice
            private var version = 1
            private(set) var counts: [Moment: Int] = [:]
            private(set) var kept = 0
            private(set) var lost = 0

            init(_ kind: FileSystem.Kind, durability: String, _ dice: Dice) throws {
                self.dice = dice
                daemon = try TestDaemon(
                    configuration: "{durability: \(durability), probation: 300ms}")
                try daemon.stop()
                try daemon.install(Products.image("ledger"), as: "ledger")
                disk = try PowerDisk(kind, mebibytes: 128, at: daemon.state)
            }

            deinit {
                try? daemon.killHard()
                try? disk.unmount()
            }

            /// Mounts, and starts batond; false if the power was cut meanwhile.
            func boot() throws -> Bool {
                do { try disk.mount() } catch {
                    if try disk.isOff { return false }
                    throw error
                }
                // As a boot does: another id, and nothing left in the runtime directory.
                let digits = Array("0123456789abcdef")
                daemon.bootID = String(
                    (0..<32).map { _ in digits[Int.random(in: 0..<16, using: &dice)] })
                _ = unsafe unlink("\(daemon.runtime.path)/disk-failed")
                try daemon.launch()
                do { try daemon.waitUntilReady() } catch {
                    if try disk.isOff { return false }
                    throw error
                }
                return try !disk.isOff
            }

            /// Arms the next cut, some requests from here.
            func arm(_ requests: ClosedRange<Int>) throws {
                let keep =
                    [0, 100, Int.random(in: 1...99, using: &dice)].randomElement(using: &dice) ?? 0
                let count = Int.random(in: requests, using: &dice)
                try disk.tell("arm \(count) \(keep) \(dice.next())")
            }

            /// Works under load until the power is cut.
            func work(to moment: Moment) throws {
                if Int.random(in: 0..<3, using: &dice) == 0 {
                    let pad = [0, 3000, 60_000].randomElement(using: &dice) ?? 0
                    _ = try daemon.call("ledger", "pad \(pad)")
                }
                let windows = (0..<Ledger.clients).map { _ in Int.random(in: 1...200, using: &dice)
                }
                try ledger.connect(daemon, windows: windows)
                let batond = daemon.pid
                if moment == .upgrade {
                    version = version % 9999 + 1
                    try daemon.install(Stamp.image(version, of: "ledger"), as: "ledger")
                    try arm(1...120)
                    daemon.signal(SIGHUP)
                } else {
                    try arm(1...1200)
                }
                // Whatever batond makes of its disk: with the power it ends.
                let end = disk.whenOff { _ = kill(batond, SIGKILL) }
                try ledger.work()
                _ = try end.value()
            }

            /// The power is off: everything ends. Then it is on again.
            func lose(at moment: Moment) throws {
                try? daemon.killHard()
                try disk.unmount()
                guard case .off(let kept, let lost) = try disk.power else {
                    throw Failure("the power is on")
                }
                counts[moment, default: 0] += 1
                self.kept += kept
                self.lost += lost
                try disk.tell("power")
            }

            /// One cut: at the moment that is wanted, if it comes to it.
            /// - Returns: what is wrong, if anything, before the cut.
            func cut(at wanted: Moment) throws -> String? {
                if wanted == .recovery { try arm(1...40) }
                let isUp = try boot()
                try disk.tell("disarm")
                // It may have come after the boot just as well: a state is still being written.
                guard try isUp && !disk.isOff else {
                    try lose(at: .recovery)
                    return nil
                }
                if let fault = try ledger.fault(in: daemon) { return fault }
                let moment = wanted == .recovery ? .load : wanted
                try work(to: moment)
                try lose(at: moment)
                return nil
            }

            var description: String {
                let moments = Moment.allCases.map { "\($0.rawValue) \(counts[$0] ?? 0)" }
                return "\(counts.values.reduce(0, +)) cuts (\(moments.joined(separator: ", "))), "
                    + "of unflushed sectors \(kept) kept, \(lost) lost; "
                    + "\(ledger.total) messages acknowledged"
            }
        }

        @Test(
            "What was acknowledged before the cut is there, in order, once",
            arguments: [FileSystem.Kind.ext4, .xfs])
        func cuts(kind: FileSystem.Kind) throws {
            let asked = ProcessInfo.processInfo.environment["BATON_CUTS"].flatMap(Int.init)
            let machine = try Machine(
                kind, durability: "commit", Dice.thrown(for: "power cuts on \(kind.rawValue)"))
            // The first of each kind is certain.
            let wanted =
                [Moment.load, .upgrade, .recovery]
                + (3..<max(3, asked ?? 6)).map { _ in
                    [.load, .load, .upgrade, .recovery].randomElement(using: &machine.dice) ?? .load
                }
            for (number, moment) in wanted.enumerated() {
                let fault = try machine.cut(at: moment)
                try #require(
                    fault == nil,
                    "before cut \(number + 1) of seed \(machine.dice.seed): \(machine.description)")
            }
            #expect(try machine.boot())
            let fault = try machine.ledger.fault(in: machine.daemon)
            #expect(fault == nil, "in the end, of seed \(machine.dice.seed)")
            print("\(kind.rawValue): \(machine.description), nothing lost or doubled")
        }

        @Test("The checker can fail: a batond that acknowledges before the sync is found out")
        func checker() throws {
            let machine = try Machine(
                .ext4, durability: "none", Dice.thrown(for: "losses"))
            var fault: String?
            for _ in 1...20 where fault == nil { fault = try machine.cut(at: .load) }
            #expect(fault?.contains("was told of") == true, "\(machine.description)")
            print("found: \(fault ?? "nothing")")
        }
    }
}
