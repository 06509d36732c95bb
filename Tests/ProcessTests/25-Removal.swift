// A service whose file is taken away and put back: what was accepted is handled, or kept.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension TestDaemon {
    /// Takes a service's file away.
    func uninstall(_ service: String) throws {
        try FileManager.default.removeItem(atPath: "\(plugins)/\(service).so")
    }

    /// RELOAD, and the verdicts by service.
    func reload() throws -> [String: ServiceVerdict] {
        let verdicts = try client.reload().decoded()
        return Dictionary(uniqueKeysWithValues: verdicts.map { ($0.service, $0) })
    }

    /// Whether it is known to any client, and has a socket, a host or a place in `baton status`.
    func knows(_ service: String) throws -> Bool {
        let listed = try client.status().decoded().services.map(\.name).contains(service)
        let hasSocket = FileManager.default.fileExists(
            atPath: "\(runtime.path)/services/\(service).sock")
        return listed || hasSocket
    }

    func send(_ service: String, _ message: String) throws {
        _ = try client.send(service, Array(message.utf8))
    }
}

extension Processes {
    @Suite("25 Removal") struct Removals {
        @Test(
            "It handles what waits, answers it, and goes; its mailbox stays; neighbours notice nothing"
        )
        func drains() throws {
            let daemon = try TestDaemon(plugins: "faulty", "ping")
            let client = try daemon.lines("faulty")
            let neighbour = try daemon.lines("ping")
            try daemon.occupy("faulty", client, with: "sleep 1500")
            try client.send((1...10).map { "\($0)\n" }.joined())
            try wait(for: "them") { try daemon.status("faulty").appended == 11 }
            try daemon.uninstall("faulty")
            let control = daemon.client
            let reload = Background { try control.reload().decoded() }
            try wait(for: "the removal") {
                try daemon.status("faulty").state.rawValue == "removing"
            }

            // Nobody gets in any more, and is told why.
            #expect(throws: SystemError.self) { try daemon.lines("faulty") }
            let refused = try daemon.baton("call", "faulty", "late")
            #expect(refused.exit == .code(4))
            #expect(
                refused.error.contains("being removed") && refused.error.contains("reload"),
                "\(refused.error)")
            #expect(try daemon.baton("suspend", "faulty").exit == .code(4))
            #expect(try daemon.baton("explain", "faulty").output.contains("being removed"))
            try? client.send("late\n")
            #expect(try neighbour.ask("ping") == "pong")

            let replies = try client.remainingLines()
            #expect(replies == ["slept"] + (1...10).map { "\($0)" })
            let verdicts = try reload.value()
            #expect(verdicts.map(\.service) == ["faulty", "ping"])
            #expect(verdicts.map(\.verdict.rawValue) == ["removed", "current"])
            #expect(verdicts.first?.from == "1")
            #expect(try !daemon.knows("faulty"))
            #expect(ProcessTable.children(of: daemon.pid).count == 1)
            #expect(try daemon.baton("call", "faulty", "gone").exit == .code(4))
            let mailboxes = try FileManager.default.contentsOfDirectory(
                atPath: "\(daemon.state)/mailboxes")
            #expect(Set(mailboxes).isSuperset(of: ["faulty", "faulty.removed"]))
            #expect(try neighbour.ask("ping") == "pong")
        }

        @Test("What does not drain in time is refused: the socket comes back, everything goes on")
        func doesNotDrain() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { drain_timeout: 300ms }\n")
            let client = try daemon.lines("faulty")
            try daemon.occupy("faulty", client, with: "sleep 1500")
            try client.send("kept\n")
            try wait(for: "it") { try daemon.status("faulty").appended == 2 }
            try daemon.uninstall("faulty")
            let reload = try daemon.baton("reload")
            #expect(reload.exit == .code(1))
            #expect(reload.error.contains("2 messages wait after 300 ms"), "\(reload.error)")
            let verdict = try daemon.status("faulty").lastUpgrade
            #expect(verdict?.verdict == .refused && verdict?.phase == "drain")
            // As if nothing had been: the client goes on, on the same connection.
            #expect(try client.lines(2) == ["slept", "kept"])
            #expect(try client.ask("count") == "2")
            #expect(try daemon.lines("faulty").ask("count") == "3")
            #expect(try daemon.status("faulty").restarts == 0)
            #expect(try daemon.reload()["faulty"]?.verdict.rawValue == "removed")
        }

        @Test("Who waits when a service goes is told, and nothing of him is left")
        func whoWaits() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            let idle = try daemon.lines("counter")
            let waits = try daemon.lines("counter")
            try daemon.client.change(.suspend, "counter")
            try waits.send("2\n3\n")
            try wait(for: "two messages") { try daemon.status("counter").appended == 2 }
            try daemon.uninstall("counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
            let told = try waits.remainingLines()
            #expect(told.count == 2 && told.allSatisfy { $0.hasPrefix("-UNAVAILABLE") }, "\(told)")
            #expect(try idle.remainingLines() == [])
            try daemon.install(Products.image("counter"), as: "counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "started")
            #expect(try daemon.lines("counter").ask("1") == "6")
        }

        @Test("Suspended by hand it goes at once with what waits, and handles it when it is back")
        func suspended() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            #expect(try daemon.call("counter", "1") == "1")
            try daemon.client.change(.suspend, "counter")
            for _ in 1...1000 { try daemon.send("counter", "2") }
            try daemon.uninstall("counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
            #expect(try !daemon.knows("counter"))

            // A boot does not start it, nor does a reload.
            for end in ["stop", "kill"] {
                if end == "stop" { try daemon.stop() } else { try daemon.killHard() }
                try daemon.start()
                #expect(try daemon.client.status().decoded().services.map(\.name) == ["ping"])
            }
            #expect(try daemon.reload().keys.sorted() == ["ping"])
            // That messages are kept for it is told.
            let kept = try daemon.client.status().decoded().removed
            #expect(kept?.map(\.name) == ["counter"] && kept?.map(\.waiting) == [1000])
            let told = try daemon.baton("status").error
            #expect(told.contains("counter was removed"), "\(told)")
            #expect(told.contains("1000"), "\(told)")

            try daemon.install(Products.image("counter"), as: "counter")
            let verdict = try daemon.reload()["counter"]
            #expect(verdict?.verdict == .started && verdict?.to == "1")
            #expect(try daemon.client.status().decoded().removed == [])
            #expect(try daemon.call("counter", "?") == "sum=2001")
            #expect(try daemon.status("counter").settled == 1002)
            // It is back for good.
            try daemon.uninstall("counter")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("counter", "?") == "sum=2001")
        }

        @Test(
            "Back with another image, it boots its release and then upgrades, the backlog handled once"
        )
        func backWithAnother() throws {
            let daemon = try TestDaemon(plugins: "counter")
            try daemon.client.change(.suspend, "counter")
            for _ in 1...100 { try daemon.send("counter", "3") }
            try daemon.uninstall("counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
            try daemon.install(Products.image("counter-2"), as: "counter")
            let verdict = try daemon.reload()["counter"]
            #expect(verdict?.verdict == .upgraded && verdict?.from == "1" && verdict?.to == "2")
            let sum = try daemon.call("counter", "?")
            #expect(sum.hasPrefix("sum=300 "), "\(sum)")
        }

        @Test("Put back while batond is down, it comes back at the boot")
        func backAtBoot() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            try daemon.client.change(.suspend, "counter")
            for _ in 1...10 { try daemon.send("counter", "4") }
            try daemon.uninstall("counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
            try daemon.stop()
            try daemon.install(Products.image("counter-2"), as: "counter")
            try daemon.start()
            try wait(for: "the upgrade") { try daemon.status("counter").version == "2" }
            #expect(try daemon.call("counter", "?").hasPrefix("sum=40 "))
        }

        @Test("A stopped service goes at once with its backlog")
        func stopped() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { restarts: 0, attempts: 9 }\n")
            try daemon.send("faulty", "crash")
            try wait(for: "the stop") { try daemon.status("faulty").state == .stopped }
            try daemon.uninstall("faulty")
            #expect(try daemon.reload()["faulty"]?.verdict.rawValue == "removed")
            try daemon.configure("limits: { restarts: 9, attempts: 3 }\n")
            try daemon.install(Products.image("faulty"), as: "faulty")
            _ = try daemon.reload()
            #expect(try daemon.call("faulty", "well") == "well")
            #expect(try daemon.status("faulty").deadLetters == 1)
        }

        @Test("kill -9 while it drains: it was not removed, and the next batond goes on with it")
        func killedWhileDraining() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            try daemon.occupy("faulty", client, with: "sleep 500")
            for _ in 1...10 { try daemon.send("faulty", "kept") }
            try daemon.uninstall("faulty")
            daemon.signal(SIGHUP)
            try wait(for: "the removal") {
                try daemon.status("faulty").state.rawValue == "removing"
            }
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("faulty", "count") == "11")
            // Its file is gone all the same: the next reload removes it.
            #expect(try daemon.reload()["faulty"]?.verdict.rawValue == "removed")
        }

        @Test("A removal waits for the upgrade that is under way, and no upgrade begins meanwhile")
        func upgrading() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { prepare_timeout: 1s }\n")
            let control = daemon.client
            let image = Products.image("faulty-hang")
            let upgrade = Background { try control.upgrade("faulty", image: image).decoded() }
            try wait(for: "prepare") { try daemon.status("faulty").phase == "prepare" }
            try daemon.uninstall("faulty")
            let reload = Background { try control.reload().decoded() }
            try wait(for: "the removal") {
                try daemon.status("faulty").state.rawValue == "removing"
            }
            #expect(try upgrade.value().verdict == .refused)
            #expect(try reload.value().map(\.verdict.rawValue) == ["removed"])
            #expect(ProcessTable.children(of: daemon.pid).isEmpty)
        }

        @Test("A quarantined service can be removed too; its mailbox is not touched")
        func quarantined() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            #expect(try daemon.call("counter", "1") == "1")
            try daemon.stop()
            let mailbox = "\(daemon.state)/mailboxes/counter"
            for name in try FileManager.default.contentsOfDirectory(atPath: mailbox)
            where name.hasSuffix(".segment") {
                try FileManager.default.moveItem(
                    atPath: "\(mailbox)/\(name)", toPath: "\(daemon.directory.path)/\(name)")
            }
            try daemon.start()
            #expect(try daemon.status("counter").state == .quarantined)
            try daemon.uninstall("counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
            #expect(try !daemon.knows("counter"))
            // Its segments found again, it is well again.
            for name in try FileManager.default.contentsOfDirectory(atPath: daemon.directory.path)
            where name.hasSuffix(".segment") {
                try FileManager.default.moveItem(
                    atPath: "\(daemon.directory.path)/\(name)", toPath: "\(mailbox)/\(name)")
            }
            try daemon.install(Products.image("counter"), as: "counter")
            #expect(try daemon.reload()["counter"]?.verdict == .started)
            #expect(try daemon.call("counter", "?") == "sum=1")
        }

        @Test("The image it will come back with is kept, however many others come and go")
        func imageIsKept() throws {
            let daemon = try TestDaemon([
                "counter": Products.image("counter"), "stamp": Products.image("stamp"),
            ])
            #expect(try daemon.call("counter", "7") == "7")
            try daemon.uninstall("counter")
            #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
            for version in 2...15 {
                #expect(try daemon.reload(Stamp.image(version), as: "stamp").verdict == .upgraded)
            }
            // A file that is no image: the release must do.
            try daemon.install(Data("no image".utf8), as: "counter")
            #expect(try daemon.reload()["counter"]?.verdict == .refused)
            #expect(try daemon.call("counter", "?") == "sum=7")
        }

        @Test("kill -9 at any time of a removal or a return: each message is handled once")
        func killedAtAnyTime() throws {
            let daemon = try TestDaemon(
                plugins: "counter", "ping", configuration: "limits: { attempts: 1000 }\n")
            var sent = 0
            for round in 0..<24 {
                let isThere = try daemon.knows("counter")
                if isThere {
                    for _ in 1...20 { try daemon.send("counter", "1") }
                    sent += 20
                    if round % 3 == 0 { try daemon.client.change(.suspend, "counter") }
                    try daemon.uninstall("counter")
                } else {
                    try daemon.install(
                        Products.image(round % 2 == 0 ? "counter" : "counter-2"), as: "counter")
                }
                daemon.signal(SIGHUP)
                usleep(UInt32(round) * 700)
                try daemon.killHard()
                try daemon.start()
                // Whatever was cut off is done by the next reload. (Version 1 is refused after 2.)
                let verdict = try daemon.reload()["counter"]?.verdict
                #expect(verdict != .refused || !isThere)
                #expect(try daemon.knows("counter") == !isThere)
            }
            if try !daemon.knows("counter") {
                try daemon.install(Products.image("counter-2"), as: "counter")
                _ = try daemon.reload()
            }
            let sum = try daemon.call("counter", "?")
            #expect(sum.hasPrefix("sum=\(sent)"), "\(sum), sent \(sent)")
        }

        @Test("Removed and put back again and again, nothing is lost and nothing is left open")
        func again() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            let before = try ProcessTable.descriptorCount(daemon.pid)
            for round in 1...30 {
                try daemon.send("counter", "1")
                try daemon.uninstall("counter")
                #expect(try daemon.reload()["counter"]?.verdict.rawValue == "removed")
                try daemon.install(Products.image("counter"), as: "counter")
                #expect(try daemon.reload()["counter"]?.verdict == .started)
                #expect(try daemon.call("counter", "?") == "sum=\(round)")
            }
            try wait(for: "as few descriptors as before") {
                try ProcessTable.descriptorCount(daemon.pid) <= before + 2
            }
        }
    }
}
