// kill -9 of batond, of hosts, or of both, at any instant under load, also while batond starts and while it
// upgrades: what was acknowledged is there, once and in order. 10,000 of them: BATON_KILLS=10000.

import BatonClient
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("96 Kills") struct Kills {
        /// What is killed in one life of batond, and when, in microseconds after what was before.
        private struct Plan: Sendable {
            var reloads: Bool
            var hosts: [UInt32]
            var batond: UInt32
            /// Its host in the same instant.
            var both: Bool

            init(_ dice: inout Dice) {
                reloads = Int.random(in: 0..<8, using: &dice) == 0
                let count = [0, 0, 1, 1, 2, 3].randomElement(using: &dice) ?? 0
                hosts = (0..<count).map { _ in UInt32.random(in: 0...9000, using: &dice) }
                batond = UInt32.random(in: 0...12_000, using: &dice)
                both = Bool.random(using: &dice)
            }
        }

        private struct Count: CustomStringConvertible {
            var batond = 0
            var starting = 0
            var hosts = 0

            var total: Int { batond + starting + hosts }
            var description: String {
                "\(total) kills: batond \(batond), batond while it starts \(starting), hosts \(hosts)"
            }
        }

        @Test("kill -9 at any instant under load: nothing is lost, twice, or out of order")
        func campaign() throws {
            let asked = ProcessInfo.processInfo.environment["BATON_KILLS"].flatMap(Int.init)
            var dice = Dice.thrown(for: "kills")
            // Deaths by this test are no reason to stop, and no message is to blame for them.
            let daemon = try TestDaemon(
                ["ledger": Products.image("ledger")],
                configuration: """
                    probation: 200ms
                    limits: {restarts: 1000, restart_period: 1ms, attempts: 1000}
                    """)
            let ledger = Ledger()
            var count = Count()
            var version = 1
            while count.total < asked ?? 80 {
                let windows = (0..<Ledger.clients).map { _ in
                    Int.random(in: 1...300, using: &dice)
                }
                try ledger.connect(daemon, windows: windows)
                let plan = Plan(&dice)
                if plan.reloads {
                    version = version % 9999 + 1
                    try daemon.install(Stamp.image(version, of: "ledger"), as: "ledger")
                }
                count.hosts += try kill(daemon, as: plan, under: ledger)
                count.batond += 1
                try startAgain(daemon, &count, &dice)
                let fault = try ledger.fault(in: daemon)
                try #require(fault == nil, "after \(count) of seed \(dice.seed)")
            }
            #expect(try daemon.status("ledger").deadLetters == 0)
            print("\(count); \(ledger.total) messages acknowledged, nothing lost or doubled")
        }

        /// - Returns: how many hosts were killed, before batond was.
        private func kill(_ daemon: TestDaemon, as plan: Plan, under ledger: Ledger) throws -> Int {
            let batond = daemon.pid
            // In a thread of its own: the load has no say in when it happens.
            let killer = Background {
                if plan.reloads { _ = Glibc.kill(batond, SIGHUP) }
                var count = 0
                for pause in plan.hosts {
                    usleep(pause)
                    count += Self.killHosts(of: batond)
                }
                usleep(plan.batond)
                if plan.both { count += Self.killHosts(of: batond) }
                _ = Glibc.kill(batond, SIGKILL)
                return count
            }
            try ledger.work()
            let hosts = try killer.value()
            try daemon.end()
            return hosts
        }

        private static func killHosts(of batond: pid_t) -> Int {
            ProcessTable.children(of: batond).count { Glibc.kill($0, SIGKILL) == 0 }
        }

        private func startAgain(_ daemon: TestDaemon, _ count: inout Count, _ dice: inout Dice)
            throws
        {
            while Int.random(in: 0..<4, using: &dice) == 0 {
                try daemon.launch()
                usleep(UInt32.random(in: 0...20_000, using: &dice))
                try daemon.killHard()
                count.starting += 1
            }
            try daemon.start()
        }
    }
}
