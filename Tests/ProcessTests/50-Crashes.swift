// kill -9 and crashes: of hosts, of batond, in the middle of things.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("50 Crashes") struct Crashes {
        private func host(of service: String, _ daemon: TestDaemon) throws -> pid_t {
            guard let pid = try daemon.status(service).pid else {
                throw Failure("\(service) has no host")
            }
            return pid_t(pid)
        }

        @Test(
            "kill -9 of a host in the middle of a message: its one reply comes from the next host")
        func host() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("first") == "first")
            let host = try host(of: "faulty", daemon)
            try daemon.occupy("faulty", client, with: "sleep 400")
            try client.send("last\n")
            _ = kill(host, SIGKILL)
            #expect(try client.lines(2) == ["slept", "last"])
            #expect(try client.ask("count") == "3")
            let status = try daemon.status("faulty")
            #expect(status.restarts == 1)
            #expect(status.pid.map(pid_t.init) != host)
            #expect(status.deadLetters == 0)
            #expect(daemon.logText.contains("signal 9"))
            client.endInput()
            #expect(try client.remainingLines().isEmpty)
        }

        @Test(
            "A message that ends its host three times is POISON; those around it are answered",
            arguments: ["crash", "abort", "exit"])
        func poison(message: String) throws {
            let daemon = try TestDaemon(plugins: "faulty", "ping")
            let client = try daemon.lines("faulty")
            try client.send("one\n\(message)\ntwo\n")
            #expect(try client.line() == "one")
            // One service's fault is that service's fault.
            #expect(try daemon.call("ping", "ping") == "pong")
            let poison = try #require(try client.line())
            #expect(poison.hasPrefix("-POISON ") && poison.contains("message 2"), "\(poison)")
            #expect(try client.line() == "two")
            #expect(try client.ask("count") == "2")
            let status = try daemon.status("faulty")
            #expect(status.restarts == 3)
            #expect(status.deadLetters == 1)
            #expect(status.settled == 4)
            #expect(try daemon.status("ping").restarts == 0)

            // Set aside for good: the next batond does not try it again.
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("faulty", "count") == "3")
            let after = try daemon.status("faulty")
            #expect(after.deadLetters == 1 && after.restarts == 0)
        }

        @Test("A host that dies too often stops its service; the mailbox accepts, resume goes on")
        func crashLoop() throws {
            let daemon = try TestDaemon(plugins: "faulty", "ping")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("before") == "before")
            try wait(for: "the stop") {
                let status = try daemon.status("faulty")
                if let pid = status.pid { _ = kill(pid_t(pid), SIGKILL) }
                return status.state == .stopped
            }
            let stopped = try daemon.status("faulty")
            #expect(stopped.reason?.contains("died 6 times") == true, "\(stopped.reason ?? "")")
            #expect(stopped.restarts == 5)
            #expect(try daemon.client.send("faulty", Array("kept".utf8)) == 2)
            #expect(try daemon.call("ping", "ping") == "pong")
            try daemon.client.change(.resume, "faulty")
            #expect(try client.ask("count") == "2")
            let resumed = try daemon.status("faulty")
            #expect(resumed.state == .running && resumed.reason == nil)
        }

        @Test("A service that is stopped is started by an upgrade, and handles what waited")
        func upgradeOfStopped() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            #expect(try daemon.call("stamp", "before") == "0001 before")
            try wait(for: "the stop") {
                let status = try daemon.status("stamp")
                if let pid = status.pid { _ = kill(pid_t(pid), SIGKILL) }
                return status.state == .stopped
            }
            let client = try daemon.lines("stamp")
            try client.send("waiting\n")
            #expect(try daemon.reload(Stamp.image(2), as: "stamp").verdict != .refused)
            #expect(try client.line() == "0002 waiting")
            #expect(try client.ask("count") == "0002 count=2")
            #expect(try daemon.status("stamp").state == .running)
        }

        @Test("Four kill -9 of the host under load: every message its one reply, the sum right")
        func hostsUnderLoad() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let client = try PipelinedClient(
                SumTalk(isAlone: true), path: daemon.runtime.serviceSocket("counter"), window: 1024,
                goal: 200_000)
            var due = [30_000, 70_000, 110_000, 150_000]
            try Crowd([client]).work {
                if let received = due.first, client.received >= received {
                    due.removeFirst()
                    if let pid = try daemon.status("counter").pid { _ = kill(pid_t(pid), SIGKILL) }
                }
                return false
            }
            #expect(client.received == 200_000)
            #expect(try daemon.call("counter", "0") == "200000")
            #expect(try daemon.status("counter").restarts == 4)
            #expect(try daemon.status("counter").deadLetters == 0)
        }

        @Test("kill -9 of batond with a backlog: what had a receipt is handled after it, once")
        func backlog() throws {
            let daemon = try TestDaemon(plugins: "counter")
            try daemon.client.change(.suspend, "counter")
            let sender = try PipelinedClient(
                ReceiptTalk(service: "counter", message: "3"), path: daemon.runtime.messageSocket,
                window: 1000, goal: 10_000)
            try Crowd([sender]).work()
            #expect(sender.talk.last == 10_000)
            #expect(try daemon.status("counter").waiting == 10_000)
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("counter", "0") == "30000")
            let status = try daemon.status("counter")
            #expect(status.settled == 10_001)
            #expect(status.waiting == 0)
        }

        @Test("SIGTERM with a backlog: what waits is kept, and handled by the next batond, once")
        func stopWithBacklog() throws {
            let daemon = try TestDaemon(plugins: "counter")
            try daemon.client.change(.suspend, "counter")
            for _ in 0..<100 { _ = try daemon.client.send("counter", Array("2".utf8)) }
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            #expect(try daemon.call("counter", "0") == "200")
        }

        @Test("SIGTERM under load: it ends in order, and every reply seen is kept")
        func stopUnderLoad() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let client = try PipelinedClient(
                SumTalk(isAlone: true), path: daemon.runtime.serviceSocket("counter"), window: 2048)
            var isAsked = false
            try Crowd([client]).work {
                if !isAsked, client.received >= 50_000 {
                    isAsked = true
                    daemon.signal(SIGTERM)
                }
                return false
            }
            #expect(client.isCut)
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            let sum = try #require(Int(try daemon.call("counter", "0")))
            #expect(client.received...client.sent ~= sum, "\(sum)")
        }

        @Test(
            "kill -9 of batond under load, again and again: no reply seen is lost, none counts twice",
            arguments: ["commit", "interval", "none"])
        func daemonUnderLoad(durability: String) throws {
            let daemon = try TestDaemon(
                plugins: "counter", configuration: "durability: \(durability)\n")
            var sum = 0
            for round in 1...5 {
                let client = try PipelinedClient(
                    SumTalk(isAlone: true, from: sum),
                    path: daemon.runtime.serviceSocket("counter"),
                    window: 512 * round)
                var isKilled = false
                try Crowd([client]).work {
                    if !isKilled, client.received >= 3000 * round {
                        isKilled = true
                        try daemon.killHard()
                    }
                    return false
                }
                #expect(client.isCut)
                try daemon.start()
                let after = try #require(Int(try daemon.call("counter", "0")))
                #expect(sum + client.received...sum + client.sent ~= after, "round \(round)")
                sum = after
            }
            #expect(try daemon.status("counter").durability == durability)
        }

        @Test(
            "kill -9 of batond at any point of an upgrade: the old version or the new, all messages"
        )
        func daemonWhileUpgrading() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            var version = 1
            var handled = 0
            var outcomes: Set<Bool> = []
            for round in 1...12 {
                let client = try PipelinedClient(
                    StampTalk(), path: daemon.runtime.serviceSocket("stamp"), window: 256)
                let image = try daemon.directory.write(Stamp.image(version + 1), "next.so")
                let control = daemon.client
                let begun = client.received
                var upgrade: Background<ServiceVerdict>?
                var turns = 0
                try Crowd([client]).work {
                    if upgrade == nil, client.received > begun + 1000 {
                        upgrade = Background {
                            try control.upgrade("stamp", image: image).decoded()
                        }
                    }
                    // A different instant in each round.
                    if upgrade != nil { turns += 1 }
                    if turns == 4 * round * round { try daemon.killHard() }
                    return false
                }
                _ = try? upgrade?.value()
                try daemon.start()
                let reply = try daemon.call("stamp", "count")
                let words = reply.split(separator: " ")
                let label = Int(words[0]) ?? 0
                let count = Int(words[1].dropFirst("count=".count)) ?? -1
                #expect(label == version || label == version + 1, "\(reply)")
                #expect(handled + client.received...handled + client.sent ~= count, "\(reply)")
                outcomes.insert(label == version)
                version = label
                handled = count + 1
            }
            print(
                "kill -9 while upgrading ended in the old version \(outcomes.contains(true)), "
                    + "in the new \(outcomes.contains(false))")
        }

        @Test(
            "A host that is stopped is not waited for without end: refused, forced, or left behind")
        func stoppedHost() throws {
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")],
                configuration: "limits: {suspend_timeout: 300ms, shutdown_timeout: 500ms}")
            let client = try daemon.lines("stamp")
            #expect(try client.ask("one") == "0001 one")
            let host = try self.host(of: "stamp", daemon)
            _ = kill(host, SIGSTOP)
            let refused = try daemon.reload(Stamp.image(2), as: "stamp")
            #expect(refused.verdict == .refused)
            #expect(refused.phase == "suspend")
            _ = kill(host, SIGCONT)
            #expect(try client.ask("two") == "0001 two")
            _ = kill(host, SIGSTOP)
            #expect(try daemon.upgrade("stamp", force: true).verdict == .upgraded)
            #expect(try client.ask("count") == "0002 count=2")
            let next = try self.host(of: "stamp", daemon)
            let witness = try Witness(next)
            _ = kill(next, SIGSTOP)
            try daemon.stop()
            _ = kill(next, SIGCONT)
            #expect(try witness.seesEnd())
        }

        @Test("Hosts end when batond is killed, also one that is busy")
        func orphans() throws {
            let daemon = try TestDaemon(plugins: "ping", "counter", "faulty")
            _ = try daemon.upgrade("ping", to: Products.image("ping-2"))
            _ = try daemon.client.send("faulty", Array("hang".utf8))
            let hosts = ProcessTable.children(of: daemon.pid)
            #expect(hosts.count == 4)
            let witnesses = try hosts.map(Witness.init)
            try daemon.killHard()
            for witness in witnesses {
                #expect(try witness.seesEnd(), "host \(witness.pid)")
            }
        }

        @Test("A second batond on the same state directory exits, and names the first")
        func second() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let elsewhere = try daemon.directory.makeDirectory("elsewhere")
            let second = try Tool.run(
                Products.program("batond"), "--plugins", daemon.plugins, "--state", daemon.state,
                "--runtime", elsewhere)
            #expect(second.exit == .code(69))
            #expect(
                second.error.contains("another batond")
                    && second.error.contains("\(daemon.pid)"), "\(second.error)")
            // Nor may it take the first one's sockets on its way.
            let sameRuntime = try Tool.run(Products.program("batond"), daemon.arguments)
            #expect(sameRuntime.exit == .code(69))
            #expect(try daemon.lines("ping").ask("ping") == "pong")
        }

        @Test("A mailbox with a flipped bit is quarantined, named, untouched; neighbours answer")
        func corruption() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            for number in 1...100 { _ = try daemon.call("counter", "\(number)") }
            #expect(try daemon.stop() == .code(0))
            let mailbox = "\(daemon.state)/mailboxes/counter"
            let segment = try #require(
                try FileManager.default.contentsOfDirectory(atPath: mailbox)
                    .filter { !$0.hasPrefix(".") && $0.contains(where: \.isNumber) }.sorted().first)
            let path = "\(mailbox)/\(segment)"
            var bytes = try Data(contentsOf: URL(filePath: path))
            // In the midst of what was written.
            let written = try #require(bytes.lastIndex { $0 != 0 })
            bytes[written / 2] ^= 0x10
            try bytes.write(to: URL(filePath: path))

            try daemon.start()
            let status = try daemon.status("counter")
            #expect(status.state == .quarantined)
            #expect(status.reason?.contains(segment) == true, "\(status.reason ?? "no reason")")
            #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
            let client = try daemon.lines("counter")
            #expect(try client.line()?.hasPrefix("-UNAVAILABLE ") == true)
            #expect(try client.line() == nil)
            let call = try daemon.baton("call", "counter", "1")
            #expect(call.exit == .code(3), "\(call.error)")
            #expect(try daemon.call("ping", "ping") == "pong")
            #expect(try daemon.stop() == .code(0))
        }
    }
}
