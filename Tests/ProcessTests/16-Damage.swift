// What is lost, rotten, full or foreign below batond: it is named, and stays one service's matter.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("16 Damage") struct Damage {
        private func segments(of service: String, _ daemon: TestDaemon) throws -> [String] {
            let mailbox = "\(daemon.state)/mailboxes/\(service)"
            return try FileManager.default.contentsOfDirectory(atPath: mailbox).sorted()
                .filter { $0.hasSuffix(".segment") }.map { "\(mailbox)/\($0)" }
        }

        /// The damaged segment is as it was, and `ping` serves.
        private func expectQuarantined(
            _ service: String, _ path: String, _ bytes: Data, _ daemon: TestDaemon,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let status = try daemon.status(service)
            #expect(
                status.state == .quarantined, "\(status.settled) settled",
                sourceLocation: sourceLocation)
            #expect(
                try Data(contentsOf: URL(filePath: path)) == bytes, sourceLocation: sourceLocation)
            #expect(try daemon.call("ping", "ping") == "pong", sourceLocation: sourceLocation)
        }

        @Test("A mailbox whose only segment is missing is quarantined, and is no new mailbox")
        func missingSegment() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            for _ in 1...20 { _ = try daemon.call("counter", "1") }
            try daemon.killHard()
            let segments = try segments(of: "counter", daemon)
            #expect(!segments.isEmpty)
            for segment in segments { try FileManager.default.removeItem(atPath: segment) }
            try daemon.start()
            let status = try daemon.status("counter")
            #expect(status.state == .quarantined)
            #expect(status.reason?.contains("missing") == true, "\(status.reason ?? "no reason")")
            #expect(try daemon.call("ping", "ping") == "pong")
        }

        @Test("After an orderly stop a rotten last message is rot, not a torn write: quarantined")
        func rottenEnd() throws {
            let daemon = try TestDaemon(plugins: "echo-c", "ping")
            for number in 1...20 { _ = try daemon.call("echo-c", "\(number)") }
            _ = try daemon.client.send("echo-c", Array("the-last-message".utf8))
            try wait(for: "its outcome") { try daemon.status("echo-c").settled == 21 }
            #expect(try daemon.stop() == .code(0))
            let path = try #require(try segments(of: "echo-c", daemon).last)
            var bytes = try Data(contentsOf: URL(filePath: path))
            let message = try #require(bytes.range(of: Data("the-last-message".utf8)))
            bytes[message.lowerBound] ^= 1
            try bytes.write(to: URL(filePath: path))

            try daemon.start()
            try expectQuarantined("echo-c", path, bytes, daemon)
        }

        @Test("After a quiet second and a kill, too: what was synced last is marked")
        func rottenEndOfKilled() throws {
            let daemon = try TestDaemon(plugins: "echo-c", "ping")
            for number in 1...20 { _ = try daemon.call("echo-c", "\(number)") }
            #expect(try daemon.call("echo-c", "the-last-message") == "the-last-message")
            let path = try #require(try segments(of: "echo-c", daemon).last)
            let quiet = try Data(contentsOf: URL(filePath: path))
            try wait(for: "the mark") { try Data(contentsOf: URL(filePath: path)) != quiet }
            let marked = try Data(contentsOf: URL(filePath: path))
            Thread.sleep(forTimeInterval: 2.5)
            // One is enough.
            #expect(try Data(contentsOf: URL(filePath: path)) == marked)
            try daemon.killHard()
            var bytes = try Data(contentsOf: URL(filePath: path))
            let message = try #require(bytes.range(of: Data("the-last-message".utf8)))
            bytes[message.lowerBound] ^= 1
            try bytes.write(to: URL(filePath: path))

            let (report, exit) = try KeptState(daemon: daemon).check()
            #expect(exit == .code(1) && report.mailbox("echo-c")?.mailbox == "damaged")
            try daemon.start()
            try expectQuarantined("echo-c", path, bytes, daemon)
        }

        @Test("The log's last page lost, with all that lay in it: quarantined, not a torn end")
        func lostPage() throws {
            let daemon = try TestDaemon(plugins: "counter", "ping")
            for _ in 1...40 { _ = try daemon.call("counter", "1") }
            #expect(try daemon.stop() == .code(0))
            let path = try #require(try segments(of: "counter", daemon).last)
            var bytes = try Data(contentsOf: URL(filePath: path))
            let end = try #require(bytes.lastIndex { $0 != 0 })
            let page = end / 4096 * 4096
            bytes.replaceSubrange(page..<page + 4096, with: Data(count: 4096))
            try bytes.write(to: URL(filePath: path))

            let (report, exit) = try KeptState(daemon: daemon).check()
            #expect(exit == .code(1) && report.mailbox("counter")?.mailbox == "damaged")
            try daemon.start()
            try expectQuarantined("counter", path, bytes, daemon)
        }

        @Test("A plugin directory that everybody may write to is refused; what runs stays")
        func openDirectory() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let digest = try daemon.status("ping").digest
            #expect(unsafe chmod(daemon.plugins, 0o777) == 0)
            try daemon.install(Products.image("ping-2"), as: "ping")
            let reload = try daemon.baton("reload")
            #expect(reload.exit == .code(1))
            #expect(reload.error.contains("written by everybody"), "\(reload.error)")
            let upgrade = try daemon.baton("upgrade", "ping")
            #expect(upgrade.exit == .code(1))
            #expect(try daemon.status("ping").digest == digest)

            // The next batond goes on with the release that it has, and says why.
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            #expect(try daemon.status("ping").digest == digest)
            #expect(daemon.logText.contains("written by everybody"))
            #expect(try daemon.call("ping", "ping") == "pong")

            #expect(unsafe chmod(daemon.plugins, 0o755) == 0)
            #expect(try daemon.client.reload().decoded().map(\.verdict) == [.upgraded])
        }

        @Test("Clients leave the descriptors that services need: a host that dies is replaced")
        func descriptorsOfServices() throws {
            let daemon = try TestDaemon(plugins: "faulty", "echo-c")
            try daemon.stop()
            let limited = try ChildProcess(
                "/usr/bin/prlimit",
                ["--nofile=200:200", Products.program("batond")] + daemon.arguments,
                environment: Tool.surroundings, output: daemon.log, error: daemon.log)
            try wait(for: "batond") { (try? daemon.call("echo-c", "here")) == "here" }
            let faulty = try daemon.lines("faulty")
            let echo = try daemon.lines("echo-c")
            var clients: [LineClient] = []
            for _ in 1...200 { clients.append(try daemon.lines("echo-c")) }
            #expect(try clients.last?.line()?.hasPrefix("-BUSY ") == true)

            // A host's end and new segments need descriptors.
            let poison = try faulty.ask("crash")
            #expect(poison.hasPrefix("-POISON "), "\(poison)")
            #expect(try faulty.ask("count") == "0")
            let message = String(repeating: "q", count: 4000)
            for _ in 1...300 { #expect(try echo.ask(message) == message) }
            #expect(limited.isRunning)
            clients = []
            try wait(for: "room") { (try? daemon.call("faulty", "well")) == "well" }
            limited.signal(SIGTERM)
            #expect(try limited.end() == .code(0))
        }

        @Test("A host that dies while no descriptor is left is replaced as soon as there is one")
        func noDescriptor() throws {
            let daemon = try TestDaemon(plugins: "faulty", "ping")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("one") == "one")
            let ping = try daemon.lines("ping")
            let used = try ProcessTable.descriptorCount(daemon.pid)
            let host = try #require(try daemon.status("faulty").pid)
            func allow(_ count: Int) throws {
                let set = try Tool.run("prlimit", "--pid", "\(daemon.pid)", "--nofile=\(count):")
                #expect(set.exit == .code(0), "\(set.error)")
            }
            try allow(used - 8)
            _ = kill(pid_t(host), SIGKILL)
            try wait(for: "the failed start") {
                daemon.logText.contains("its host cannot be started")
            }
            #expect(try ping.ask("ping") == "pong")
            try allow(1000)
            #expect(try client.ask("count") == "1")
            #expect(try daemon.status("faulty").state == .running)
        }

        @Test(
            "On a full disk a service whose state has no room is READONLY; its neighbour goes on",
            .enabled(if: geteuid() == 0, "mounts a file system"))
        func fullDisk() throws {
            let daemon = try TestDaemon(plugins: "faulty", "echo-c")
            try daemon.stop()
            let mount = try Tool.run(
                "mount", "-t", "tmpfs", "-o", "size=6m,mode=755", "none", daemon.state)
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
            #expect(try daemon.call("faulty", "state 30000") == "state 30000")
            #expect(try daemon.call("echo-c", "before") == "before")
            let fill = try Descriptor.open(
                "\(daemon.state)/fill", flags: O_WRONLY | O_CREAT, mode: 0o600)
            let block = [UInt8](repeating: 120, count: 4096)
            while unsafe write(fill.number, block, block.count) > 0 {}
            #expect(errno == ENOSPC)

            // Each is answered, or told READONLY; nothing ends.
            var isReadOnly = false
            for _ in 1...20 {
                do throws(ClientError) {
                    _ = try daemon.client.call("faulty", Array("more".utf8))
                } catch {
                    guard case .refused("READONLY", _) = error else { throw error }
                    isReadOnly = true
                }
                #expect(try daemon.call("echo-c", "well") == "well")
            }
            #expect(isReadOnly)
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            #expect(try daemon.call("echo-c", "again") == "again")
            #expect(unsafe unlink("\(daemon.state)/fill") == 0)
            _ = consume fill
            try wait(for: "room") { (try? daemon.call("faulty", "room")) == "room" }
        }
    }
}
