// Everything at once: upgrades, suspensions, kill -9 of hosts and of batond, in an order by chance.

import BatonClient
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("95 Chaos") struct Chaos {
        private enum Event: CaseIterable {
            case killHost, killOld, upgrade, reloadBySignal, suspend, resume
        }

        @Test("Eight lives of batond, each full of upgrades and killed hosts: every promise kept")
        func lives() throws {
            var dice = Dice.thrown(for: "chaos")
            // Deaths by this test are no reason to stop, and no message is to blame for them.
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")],
                configuration: "limits: {restarts: 1000, restart_period: 100ms, attempts: 1000}")
            var version = 1
            var handled = 0
            for life in 1...8 {
                // An upgrade may overtake a reload that waits for another, so versions go back too.
                let client = try PipelinedClient(
                    StampTalk(versionsMayGoBack: true), path: daemon.runtime.serviceSocket("stamp"),
                    window: Int.random(in: 1...2000, using: &dice))
                let events = (0..<8).map { _ in Event.allCases.randomElement(using: &dice) }
                    .compactMap { $0 }
                var due = events.map { ($0, Int.random(in: 0...3000, using: &dice)) }
                due.sort { $0.1 < $1.1 }
                var turns = 0
                try Crowd([client]).work {
                    turns += 1
                    while let (event, turn) = due.first, turn <= turns {
                        due.removeFirst()
                        try happen(event, to: daemon, next: &version)
                    }
                    if turns == 3001 { try daemon.killHard() }
                    return false
                }
                try daemon.start()
                let reply = try daemon.call("stamp", "count")
                let words = reply.split(separator: " ")
                let count = Int(words[1].dropFirst("count=".count)) ?? -1
                let possible = handled + client.received...handled + client.sent
                #expect(
                    possible ~= count,
                    "life \(life) of seed \(dice.seed): \(reply), \(possible)")
                handled = count + 1
            }
            #expect(try daemon.status("stamp").deadLetters == 0)
        }

        private func happen(_ event: Event, to daemon: TestDaemon, next version: inout Int) throws {
            let control = daemon.client
            switch event {
            case .killHost:
                if let pid = try daemon.status("stamp").pid { _ = kill(pid_t(pid), SIGKILL) }
            case .killOld:
                if let pid = try daemon.status("stamp").oldPid { _ = kill(pid_t(pid), SIGKILL) }
            case .upgrade:
                version += 1
                let image = try daemon.directory.write(Stamp.image(version), "next.so")
                // Its verdict is not waited for: the next event may come in its midst.
                _ = Background { try? control.upgrade("stamp", image: image).decoded() }
            case .reloadBySignal:
                version += 1
                try daemon.install(Stamp.image(version), as: "stamp")
                daemon.signal(SIGHUP)
            case .suspend:
                _ = try? control.change(.suspend, "stamp")
                _ = try? control.change(.resume, "stamp")
            case .resume:
                _ = try? control.change(.resume, "stamp")
            }
        }
    }
}
