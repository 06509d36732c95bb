// The main job: pings, and new code in between.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("20 Ping-pong") struct PingPong {
        @Test("Ten pings, the image replaced and SIGHUP after the fifth: ten pongs, in order")
        func one() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let client = try daemon.lines("ping")
            for _ in 1...5 { #expect(try client.ask("ping") == "pong") }
            #expect(try daemon.status("ping").version == "1")

            try daemon.install(Products.image("ping-2"), as: "ping")
            try daemon.reloadBySignal()
            for _ in 6...10 { #expect(try client.ask("ping") == "pong") }

            let status = try daemon.status("ping")
            #expect(status.version == "2")
            #expect(status.oldVersion == "1")
            #expect(status.upgrades == 1)
            #expect(status.settled == 10)
            #expect(status.connections == 1)
            let verdict = try #require(status.lastUpgrade)
            #expect(verdict.verdict == .upgraded)
            #expect(verdict.from == "1" && verdict.to == "2")
            #expect(verdict.switchSequence == 5)
            #expect(verdict.pauseMicroseconds != nil)
            #expect(daemon.logText.contains("ping 2 is ready"))
        }

        @Test("The same with the pings sent at once: the ones after the fifth wait for nothing")
        func together() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            let client = try daemon.lines("stamp")
            try client.send("1\n2\n3\n4\n5\n")
            #expect(try client.lines(5) == (1...5).map { "0001 \($0)" })
            try daemon.install(Stamp.image(2), as: "stamp")
            daemon.signal(SIGHUP)
            try client.send("6\n7\n8\n9\n10\n")
            let replies = try client.lines(5)
            #expect(replies.map { $0.dropFirst(5) } == ["6", "7", "8", "9", "10"])
            #expect(replies.map { $0.prefix(4) } == replies.map { $0.prefix(4) }.sorted())
        }

        @Test("Upgrades after the third, fifth and seventh of ten")
        func three() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            let client = try daemon.lines("stamp")
            var replies: [String] = []
            var switches: [Int?] = []
            for number in 1...10 {
                replies.append(try client.ask("ping"))
                guard [3, 5, 7].contains(number) else { continue }
                try daemon.install(Stamp.image(number), as: "stamp")
                try daemon.reloadBySignal()
                switches.append(try daemon.status("stamp").lastUpgrade?.switchSequence)
            }
            let versions = [1, 1, 1, 3, 3, 5, 5, 7, 7, 7]
            #expect(replies == versions.map { "\(Stamp.label($0)) ping" })
            #expect(switches == [3, 5, 7])
            #expect(try client.ask("count") == "0007 count=10")
            let status = try daemon.status("stamp")
            #expect(status.upgrades == 3)
            #expect(status.oldVersion == "0005")
        }

        @Test("A million pipelined over three upgrades: each its reply, in order, three boundaries")
        func million() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            let total = 1_000_000
            let client = try PipelinedClient(
                StampTalk(), path: daemon.runtime.serviceSocket("stamp"), window: 8192, goal: total)
            let crowd = Crowd([client])
            // Upgrades begin when so many replies have come, one after the other.
            var due = [(250_000, 2), (500_000, 3), (750_000, 4)]
            var running: Background<ServiceVerdict>?
            var verdicts: [ServiceVerdict] = []
            try crowd.work {
                if let upgrade = running, upgrade.isOver {
                    verdicts.append(try upgrade.value())
                    running = nil
                }
                if running == nil, let (received, version) = due.first, client.received >= received
                {
                    due.removeFirst()
                    let image = try daemon.directory.write(Stamp.image(version), "\(version).so")
                    let control = daemon.client
                    running = Background { try control.upgrade("stamp", image: image).decoded() }
                }
                return false
            }
            if let running { verdicts.append(try running.value()) }

            #expect(client.received == total)
            #expect(verdicts.map(\.verdict) == [.upgraded, .upgraded, .upgraded])
            #expect(client.talk.boundaries.map(\.version) == [1, 2, 3, 4])
            // Messages are numbered from 0, sequences from 1.
            #expect(
                client.talk.boundaries.dropFirst().map(\.first) == verdicts.map(\.switchSequence))
            #expect(try daemon.call("stamp", "count") == "0004 count=\(total)")
        }

        @Test("A downgrade is an upgrade like any other, if the older version takes the state")
        func downgrade() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            #expect(try daemon.call("stamp", "a") == "0001 a")
            #expect(try daemon.reload(Stamp.image(2), as: "stamp").to == "0002")
            #expect(try daemon.reload(Stamp.image(1), as: "stamp").to == "0001")
            #expect(try daemon.call("stamp", "count") == "0001 count=1")
            #expect(try daemon.status("stamp").upgrades == 2)
        }

        @Test("Several services in one reload each have their verdict")
        func several() throws {
            let daemon = try TestDaemon(plugins: "ping", "counter", "stamp", "faulty")
            #expect(try daemon.call("counter", "41") == "41")
            try daemon.install(Products.image("ping-2"), as: "ping")
            try daemon.install(Products.image("counter-2"), as: "counter")
            try daemon.install(Products.image("faulty-abi"), as: "faulty")
            let verdicts = try daemon.client.reload().decoded()
            let words = Dictionary(uniqueKeysWithValues: verdicts.map { ($0.service, $0.verdict) })
            #expect(
                words == [
                    "ping": .upgraded, "counter": .upgraded, "stamp": .current, "faulty": .refused,
                ])
            #expect(try daemon.call("counter", "1") == "42")
            #expect(try daemon.status("ping").version == "2")
            #expect(try daemon.status("faulty").version == "1")
        }

        @Test("Upgrades asked for at once are done one after the other, each with its verdict")
        func atOnce() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            let control = daemon.client
            let upgrades = try (2...6).map { version in
                let image = try daemon.directory.write(Stamp.image(version), "\(version).so")
                return Background { try control.upgrade("stamp", image: image).decoded() }
            }
            let verdicts = try upgrades.map { try $0.value() }
            #expect(verdicts.allSatisfy { $0.verdict == .upgraded })
            // Each begins where another ended.
            let last = try #require(try daemon.status("stamp").version)
            #expect(
                Set(verdicts.compactMap(\.from) + [last])
                    == Set(verdicts.compactMap(\.to) + [Stamp.label(1)]))
            #expect(try daemon.status("stamp").upgrades == 5)
            #expect(try daemon.call("stamp", "count") == "\(last) count=0")
        }

        @Test("purge ends the old version's host, and nobody notices")
        func purge() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            #expect(try daemon.reload(Stamp.image(2), as: "stamp").verdict == .upgraded)
            let old = try Witness(pid_t(try #require(try daemon.status("stamp").oldPid)))
            try daemon.client.change(.purge, "stamp")
            #expect(try old.seesEnd())
            let status = try daemon.status("stamp")
            #expect(status.oldPid == nil && status.oldVersion == nil)
            #expect(try daemon.call("stamp", "count") == "0002 count=0")
            try daemon.client.change(.purge, "stamp")
            #expect(try daemon.reload(Stamp.image(3), as: "stamp").verdict == .upgraded)
        }

        @Test("A suspension during prepare holds the new version back until resume")
        func suspendedWhilePreparing() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            try daemon.client.change(.suspend, "stamp")
            #expect(try daemon.reload(Stamp.image(2), as: "stamp").verdict == .upgraded)
            #expect(try daemon.status("stamp").state == .suspended)
            let client = try daemon.lines("stamp")
            try client.send("held\n")
            #expect(try daemon.reload(Stamp.image(3), as: "stamp").verdict == .upgraded)
            #expect(try daemon.status("stamp").settled == 0)
            try daemon.client.change(.resume, "stamp")
            #expect(try client.line() == "0003 held")
        }

        @Test("What a service keeps comes along: counter from 1 to 2 to 3, and over a restart")
        func state() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let client = try daemon.lines("counter")
            for number in 1...10 { _ = try client.ask("\(number)") }
            #expect(try client.ask("?") == "sum=55")
            #expect(
                try daemon.upgrade("counter", to: Products.image("counter-2")).verdict == .upgraded)
            #expect(try client.ask("?") == "sum=55 count=0")
            #expect(try client.ask("5") == "60")
            #expect(
                try daemon.upgrade("counter", to: Products.image("counter-3")).verdict == .upgraded)
            #expect(try client.ask("?") == "sum=60 count=1 mean=5.0")
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            // The release is what boots; the file in the plugin directory is another.
            let status = try daemon.status("counter")
            #expect(status.version == "3")
            #expect(try daemon.call("counter", "?") == "sum=60 count=1 mean=5.0")
            try wait(for: "the comparison with the file") {
                try daemon.status("counter").diskVersionDiffers
            }
        }
    }
}
