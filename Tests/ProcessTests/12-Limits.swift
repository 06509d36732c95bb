// At a limit the sender is slowed or told; nothing accepted is dropped, and others do not notice.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("12 Limits") struct Limits {
        @Test("A client that sends far ahead of its replies is slowed, and has every reply")
        func repliesPending() throws {
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")], configuration: "limits: {replies_pending: 100}")
            let goal = 50_000
            let client = try PipelinedClient(
                StampTalk(), path: daemon.runtime.serviceSocket("stamp"), window: goal, goal: goal)
            try Crowd([client]).work()
            #expect(client.received == goal)

            // The same with the end of its input behind the last message.
            let ended = try daemon.lines("stamp")
            try ended.send((1...20_000).map { "\($0)\n" }.joined())
            ended.endInput()
            #expect(try ended.remainingLines() == (1...20_000).map { "0001 \($0)" })
        }

        @Test("The same on baton.sock")
        func commandsPending() throws {
            let daemon = try TestDaemon(
                plugins: "counter", configuration: "limits: {replies_pending: 100}")
            let sender = try PipelinedClient(
                ReceiptTalk(service: "counter", message: "1"), path: daemon.runtime.messageSocket,
                window: 50_000, goal: 50_000)
            try Crowd([sender]).work()
            #expect(sender.received == 50_000)
            let client = try LineClient(path: daemon.runtime.messageSocket)
            try client.send(String(repeating: "CALL counter 1\n", count: 10_000))
            client.endInput()
            let sums = try client.remainingLines().filter { !$0.hasPrefix("$") }
            #expect(sums == (50_001...60_000).map { "\($0)\r" })
        }

        @Test("Messages for a suspended service wait on one connection and do not stop another")
        func waiting() throws {
            let daemon = try TestDaemon(
                plugins: "counter", "ping", configuration: "limits: {replies_pending: 100}")
            try daemon.client.change(.suspend, "counter")
            let client = try daemon.lines("counter")
            try client.send(String(repeating: "1\n", count: 1000))
            client.endInput()
            let other = try daemon.lines("counter")
            try other.send("0\n")
            #expect(try daemon.call("ping", "ping") == "pong")
            try daemon.client.change(.resume, "counter")
            #expect(try client.remainingLines() == (1...1000).map { "\($0)" })
            #expect(try other.line() != nil)
        }

        @Test("A client that reads late has every reply, and nobody waits for it")
        func readsLate() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let late = try daemon.lines("faulty")
            // Replies of 10 MB in all, more than the 4 MiB at which a client is read no further.
            try late.send(String(repeating: "reply 100000\n", count: 100))
            #expect(try daemon.lines("faulty").ask("other") == "other")
            #expect(try late.lines(100).allSatisfy { $0.utf8.count == 100_000 })
            #expect(try late.ask("count") == "101")
        }

        @Test("A client that never reads ends by itself; batond's memory and its service are well")
        func neverReads() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let lazy = try daemon.lines("faulty")
            // Replies of 200 MB in all.
            try lazy.send(String(repeating: "reply 100000\n", count: 2000))
            #expect(try daemon.lines("faulty").ask("other") == "other")
            #expect(try ProcessTable.residentKibibytes(daemon.pid) < 200 << 10)
            // It is read no further, so not all of it has been taken.
            let count = try #require(Int(try daemon.call("faulty", "count")))
            #expect(2...2001 ~= count)
            #expect(try daemon.status("faulty").restarts == 0)
            // What it is still given may end anywhere.
            _ = try? lazy.rest()
        }

        @Test("Thousands of large replies in a row are no flood; the next client has its own reply")
        func manyLargeReplies() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try PipelinedClient(
                LengthTalk(bytes: 70_000), path: daemon.runtime.serviceSocket("faulty"),
                window: 200,
                goal: 5000)
            try Crowd([client]).work()
            #expect(client.received == 5000)
            #expect(try daemon.call("faulty", "mine") == "mine")
            #expect(try daemon.status("faulty").restarts == 0)
        }

        @Test("A client that reads has every reply, however much it asked for ahead")
        func muchAhead() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try PipelinedClient(
                LengthTalk(bytes: 100_000), path: daemon.runtime.serviceSocket("faulty"),
                window: 2000, goal: 2000)
            try Crowd([client]).work()
            #expect(client.received == 2000)
            #expect(try daemon.call("faulty", "mine") == "mine")
        }

        @Test(
            "Without descriptors clients are turned away, an upgrade refused; with them all is well"
        )
        func descriptors() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let client = try daemon.lines("ping")
            #expect(try client.ask("ping") == "pong")
            let used = try ProcessTable.descriptorCount(daemon.pid)
            func allow(_ count: Int) throws {
                let set = try Tool.run("prlimit", "--pid", "\(daemon.pid)", "--nofile=\(count):")
                #expect(set.exit == .code(0), "\(set.error)")
            }
            let soon = Deadline(after: .patience)
            var control = try RESPConnection(
                path: daemon.runtime.controlSocket, deadline: soon)
            #expect(try control.call("PING", deadline: soon) == .simpleString("PONG"))
            try allow(used + 3)
            // Some find a descriptor yet; then one is told.
            var others: [LineClient] = []
            var isTurnedAway = false
            while !isTurnedAway, others.count < 20 {
                let other = try daemon.lines("ping")
                others.append(other)
                _ = try? other.send("ping\n")
                isTurnedAway = try other.line()?.hasPrefix("-BUSY no descriptor ") == true
            }
            #expect(isTurnedAway)
            #expect(try others.last?.line() == nil)
            let image = Products.image("ping-2")
            guard
                case .bulk(let json) = try control.call(
                    "UPGRADE", "ping", "IMAGE", image, deadline: soon)
            else {
                Issue.record("UPGRADE is not answered by a verdict")
                return
            }
            let verdict = try Report<ServiceVerdict>(json: json).decoded()
            #expect(verdict.verdict == .refused)
            #expect(
                verdict.reason?.contains("Too many open files") == true, "\(verdict.reason ?? "")")
            #expect(try client.ask("ping") == "pong")

            try allow(1000)
            #expect(try daemon.upgrade("ping", to: image).verdict == .upgraded)
            #expect(try daemon.lines("ping").ask("ping") == "pong")
        }

        @Test("A service too busy to be suspended in time goes on, and the operator is told why")
        func suspendBusy() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: {suspend_timeout: 200ms}")
            let client = try daemon.lines("faulty")
            try daemon.occupy("faulty", client, with: "sleep 1000")
            try client.send("last\n")
            #expect {
                try daemon.client.change(.suspend, "faulty")
            } throws: { error in
                guard case .refused("BUSY", let text) = error as? ClientError else { return false }
                return text.contains("message 1")
            }
            #expect(try client.lines(2) == ["slept", "last"])
            try daemon.client.change(.suspend, "faulty")
            #expect(try daemon.status("faulty").state == .suspended)
        }

        @Test("A full mailbox is BUSY on baton.sock, slows a line client, and drains in order")
        func mailboxFull() throws {
            let daemon = try TestDaemon(
                plugins: "echo-c", "ping", configuration: "limits: {mailbox_bytes: 1 MiB}")
            try daemon.client.change(.suspend, "echo-c")
            let message = String(repeating: "x", count: 10_000)
            var accepted = 0
            var refusal: ClientError?
            while refusal == nil, accepted < 1000 {
                do throws(ClientError) {
                    _ = try daemon.client.send("echo-c", Array(message.utf8))
                    accepted += 1
                } catch { refusal = error }
            }
            guard case .refused(let code, _) = refusal else {
                Issue.record(
                    "\(accepted) accepted, then \(refusal.map { "\($0)" } ?? "no refusal")")
                return
            }
            #expect(code == "BUSY")
            // The limit counts whole segments, of which the next is as large as all before it.
            #expect(10...300 ~= accepted, "\(accepted)")
            // A line client is not refused: it waits.
            let client = try daemon.lines("echo-c")
            try client.send((1...50).map { "\($0)\n" }.joined())
            client.endInput()
            #expect(try daemon.call("ping", "ping") == "pong")
            try daemon.client.change(.resume, "echo-c")
            #expect(try client.remainingLines() == (1...50).map { "\($0)" })
            #expect(try daemon.status("echo-c").settled == accepted + 50)
            #expect(try daemon.client.send("echo-c", Array(message.utf8)) == accepted + 51)
        }

        @Test("One client too many is told BUSY; when another goes there is room")
        func connections() throws {
            let daemon = try TestDaemon(
                plugins: "ping", configuration: "limits: {connections: 10, connections_per_uid: 10}"
            )
            var clients = try (1...10).map { _ in try daemon.lines("ping") }
            for client in clients { #expect(try client.ask("ping") == "pong") }
            let surplus = try daemon.lines("ping")
            #expect(try surplus.line()?.hasPrefix("-BUSY ") == true)
            #expect(try surplus.line() == nil)
            clients.removeLast(5)
            try wait(for: "room") { (try? daemon.call("ping", "ping")) == "pong" }
        }

        @Test("Messages larger than a segment, a hundred of them, come back whole and in order")
        func largeMessages() throws {
            let daemon = try TestDaemon(plugins: "echo-c")
            let sizes = (1...100).map { ($0 * 104_729) % (1 << 20) }
            let client = try daemon.lines("echo-c")
            for size in sizes {
                let message = String(repeating: "m", count: size)
                try client.send(message + "\n")
                #expect(try client.line()?.utf8.count == size)
            }
            // Kept on disk: sent together, and batond killed before they are handled.
            try daemon.client.change(.suspend, "echo-c")
            for size in sizes.prefix(20) {
                _ = try daemon.client.send("echo-c", [UInt8](repeating: 109, count: size))
            }
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("echo-c", "last") == "last")
            #expect(try daemon.status("echo-c").settled == 121)
        }

        @Test("A flood of log lines is dropped in part, and its service lives")
        func logFlood() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("log 3") == "logged")
            #expect(try client.ask("log 100000") == "logged")
            #expect(try client.ask("next") == "next")
            #expect(try daemon.status("faulty").restarts == 0)
            #expect(daemon.logText.contains("line 3"))
            #expect(daemon.logText.utf8.count < 8 << 20)
        }

        @Test(
            "A state beyond the limit is no outcome: the message is set aside, the state as before")
        func stateTooLarge() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { state_bytes: 2 MiB }")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("one") == "one")
            #expect(try client.ask("state 3000000").hasPrefix("-"))
            #expect(try client.ask("count") == "1")
            #expect(try daemon.status("faulty").state == .running)
        }

        @Test("A host over its limit of memory dies: an attempt at its message, then a dead letter")
        func hostMemory() throws {
            let daemon = try TestDaemon(configuration: "limits: { host_memory: 256 MiB }")
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 5") == "5")
            #expect(try client.ask("alloc 64") == "allocated 64")
            let reply = try client.ask("alloc 512")
            #expect(reply.hasPrefix("-POISON ") && reply.contains("message 3"), "\(reply)")
            #expect(try client.ask("sum 6") == "11")
            let status = try daemon.status("trial")
            #expect(status.restarts == 3 && status.deadLetters == 1)
        }
    }
}
