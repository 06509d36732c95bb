// `baton check`: what it says of a state directory, sound or damaged, and that it changes nothing.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("71 Check") struct Check {
        let daemon: TestDaemon
        let state: KeptState

        /// counter, with three messages that wait, and ping.
        init() throws {
            daemon = try TestDaemon(plugins: "counter", "ping")
            state = KeptState(daemon: daemon)
            for _ in 1...5 { _ = try daemon.call("counter", "1") }
            #expect(try daemon.call("ping", "ping") == "pong")
            try daemon.client.change(.suspend, "counter")
            for number in 6...8 {
                #expect(try daemon.client.send("counter", Array("100\(number)".utf8)) == number)
            }
        }

        @Test("A sound state is well, with batond at work or stopped or killed, to the last number")
        func sound() throws {
            let (running, exit) = try state.check()
            #expect(exit == .code(0), "\(running.findings)")
            #expect(running.inUseBy == Int(daemon.pid))
            #expect(running.well && running.faults.isEmpty)
            let counter = try #require(running.mailbox("counter"))
            #expect(counter.mailbox == "clean" || counter.mailbox == "torn")
            #expect(counter.appended == 8 && counter.settled == 5 && counter.waiting == 3)
            #expect(counter.version == "1" && !counter.removed)
            #expect(running.mailboxes.map(\.service) == ["counter", "ping"])
            for isKilled in [true, false] {
                if isKilled { try daemon.killHard() } else { try daemon.stop() }
                let (report, exit) = try state.check()
                #expect(exit == .code(0) && report.well, "\(report.findings)")
                #expect(report.inUseBy == nil)
                #expect(report.mailbox("counter")?.appended == 8)
                let text = try state.baton("check")
                #expect(text.exit == .code(0) && text.output.contains("all is well"))
                let waiting = isKilled ? 3 : 0
                let first = "counter: clean; 8 messages, \(waiting) wait"
                #expect(text.lines.first?.hasPrefix(first) == true, "\(text.output)")
                guard isKilled else { continue }
                try daemon.start()
                try wait(for: "what waits") { try daemon.status("counter").waiting == 0 }
            }
        }

        @Test("A batond that writes states and messages as fast as it can is never found damaged")
        func busy() throws {
            let daemon = try TestDaemon(plugins: "trial")
            let state = KeptState(daemon: daemon)
            let weigh = try daemon.call("trial", "weigh 60")
            #expect(weigh == "weighs 60")
            let path = daemon.runtime.serviceSocket("trial")
            let load = Background {
                let clients = try (1...2).map { _ in
                    try PipelinedClient(TallyTalk(), path: path, window: 20, goal: 20_000)
                }
                try Crowd(clients).work()
            }
            var count = 0
            while !load.isOver, count < 100 {
                let (report, exit) = try state.check()
                #expect(exit == .code(0), "\(report.findings)")
                count += 1
            }
            try load.value(within: .seconds(300))
            print("\(count) checks beside the load")
            #expect(count > 5)
        }

        @Test("A torn end is no damage; batond drops as much as was told")
        func torn() throws {
            try daemon.killHard()
            let path = try #require(try state.segments("ping").last)
            // The last record, of which no later batch says that it was durable.
            try state.change(path) { bytes in
                let last = try #require(bytes.lastIndex { $0 != 0 })
                bytes[last] ^= 1
            }
            let (report, exit) = try state.check()
            #expect(exit == .code(0), "\(report.findings)")
            let ping = try #require(report.mailbox("ping"))
            #expect(ping.mailbox == "torn")
            let text = try state.baton("check", "ping")
            #expect(text.output.contains("the next start drops \(ping.tornBytes) bytes"))
            try daemon.start()
            #expect(daemon.logText.contains("\(ping.tornBytes)"), "\(daemon.logText)")
            #expect(try daemon.status("ping").state == .running)
        }

        @Test("Beside a batond that writes all the while it finds nothing wrong")
        func beside() throws {
            try daemon.client.change(.resume, "counter")
            let path = daemon.runtime.serviceSocket("counter")
            let load = Background {
                let lines = try LineClient(path: path)
                for _ in 1...60 {
                    let messages = String(repeating: "1\n", count: 2000)
                    try lines.send(messages)
                    for _ in 1...2000 { _ = try lines.line() }
                }
            }
            var looks = 0
            while !load.isOver || looks < 3 {
                let (report, exit) = try state.check()
                #expect(exit == .code(0), "\(report.findings)")
                looks += 1
            }
            try load.value()
            #expect(try daemon.call("counter", "?") == "sum=123026")
            print("checked \(looks) times beside a batond at work")
        }

        @Test("It changes nothing: no byte, no time, no file, also where nothing can be written")
        func readOnly() throws {
            try daemon.killHard()
            try state.rot("1007", in: "counter")
            let before = try FileTree(daemon.directory.path)
            let sound = try state.check("ping")
            let damaged = try state.check()
            #expect(sound.exit == .code(0) && damaged.exit == .code(1))
            let after = try FileTree(daemon.directory.path)
            #expect(after.differences(from: before) == [])

            guard geteuid() == 0,
                try Tool.run("mount", "--bind", daemon.state, daemon.state).exit == .code(0)
            else {
                print("the read-only mount is not tested: it takes root, who may mount")
                return
            }
            defer { _ = try? Tool.run("umount", "-l", daemon.state) }
            let remount = try Tool.run("mount", "-o", "remount,bind,ro", daemon.state)
            #expect(remount.exit == .code(0), "\(remount.error)")
            let barred = try state.check()
            #expect(barred.exit == .code(1))
            #expect(barred.report.faults.map(\.what) == damaged.report.faults.map(\.what))
        }

        @Test("Each kind of damage in a mailbox is told with its place, and its neighbour is well")
        func damage() throws {
            try daemon.stop()
            let segment = try #require(try state.segments("counter").first)
            let whole = try Data(contentsOf: URL(filePath: segment))
            let name = "0000000001.segment"
            for (what, word, place, damage) in [
                (
                    "a flipped bit", "damaged", "\(name) offset",
                    { (bytes: inout Data) in
                        let at = try #require(bytes.range(of: Data("1007".utf8)))
                        bytes[at.lowerBound] ^= 1
                    }
                ),
                (
                    "a zeroed page", "damaged", name,
                    { bytes in
                        bytes.replaceSubrange(4096..<8192, with: Data(count: 4096))
                    }
                ),
                (
                    "a zeroed header", "damaged", name,
                    { bytes in
                        bytes.replaceSubrange(0..<4096, with: Data(count: 4096))
                    }
                ),
                (
                    "a misplaced block", "damaged", "\(name) offset 4096",
                    { bytes in
                        bytes.replaceSubrange(4096..<4224, with: bytes[4224..<4352])
                    }
                ),
                ("a shorter file", "damaged", name, { $0.removeLast(4096) }),
            ] as [(String, String, String, (inout Data) throws -> Void)] {
                try state.change(segment, damage)
                let (report, exit) = try state.check()
                #expect(exit == .code(1), "\(what)")
                #expect(report.mailbox("counter")?.mailbox == word, "\(what)")
                #expect(report.mailbox("ping")?.mailbox == "clean", "\(what)")
                let finding = try #require(report.faults.first, "\(what)")
                #expect(report.faults.count == 1 && finding.service == "counter")
                #expect(finding.place?.contains(place) == true, "\(what): \(finding)")
                #expect(finding.next?.contains("baton repair counter") == true)
                try whole.write(to: URL(filePath: segment))
            }
            try FileManager.default.removeItem(atPath: segment)
            let missing = try state.check()
            #expect(missing.report.mailbox("counter")?.mailbox == "damaged")
            #expect(missing.report.faults.first?.what.contains("missing") == true)
            try FileManager.default.removeItem(atPath: state.mailbox("counter"))
            #expect(try state.check().report.mailbox("counter")?.mailbox == "damaged")
        }

        @Test("A newer format, of a segment or the state directory, is refused and no damage")
        func newerFormat() throws {
            try daemon.stop()
            try daemon.directory.write(Data("baton-state 9\n".utf8), "state/format")
            let (report, exit) = try state.check()
            #expect(exit == .code(1))
            #expect(report.faults.map(\.kind) == ["refused"])
            #expect(report.faults.first?.what.contains("baton-state 9") == true)
            let repair = try state.baton("repair", "counter", "--yes")
            #expect(repair.exit == .code(1) && repair.error.contains("baton-state 9"))
        }

        @Test("Foreign files are noted, and are no fault")
        func foreignFiles() throws {
            try daemon.stop()
            let names = [
                "state/notes", "state/mailboxes/Notes", "state/images/notes",
                "state/mailboxes/counter/notes",
            ]
            for name in names { try daemon.directory.write(Data("mine".utf8), name) }
            let (report, exit) = try state.check()
            #expect(exit == .code(0) && report.well)
            let noted = report.findings.filter { $0.kind == "noted" }.compactMap(\.place)
            #expect(Set(noted) == Set(names.map { "\(daemon.directory.path)/\($0)" }))
        }

        @Test("An image that is wrong or gone is told, and what needs it")
        func images() throws {
            try daemon.stop()
            let images = try FileManager.default.contentsOfDirectory(
                atPath: "\(daemon.state)/images")
            #expect(images.count == 2)
            for image in images {
                let path = "\(daemon.state)/images/\(image)"
                let whole = try Data(contentsOf: URL(filePath: path))
                try state.change(path) { $0[$0.count / 2] ^= 1 }
                let wrong = try state.check()
                #expect(wrong.exit == .code(1))
                #expect(
                    wrong.report.faults.contains { $0.what.contains("not those that its name") })
                #expect(wrong.report.faults.contains { $0.service != nil && $0.place == path })
                try FileManager.default.removeItem(atPath: path)
                let gone = try state.check()
                #expect(gone.exit == .code(1))
                let finding = try #require(gone.report.faults.first)
                #expect(finding.what.contains("not in the image store") && finding.place == path)
                let service = try #require(finding.service)
                #expect(try state.check(service).exit == .code(1))
                let other = service == "ping" ? "counter" : "ping"
                #expect(try state.check(other).exit == .code(0))
                try whole.write(to: URL(filePath: path))
            }
            #expect(try state.check().exit == .code(0))
        }

        @Test("A configuration, plugin or directory that batond would refuse is refused here")
        func refused() throws {
            try daemon.stop()
            let file = try daemon.directory.write(
                Data("durability: commit\nduribility: none\n".utf8), "bad.yaml")
            let bad = try Tool.run(
                Products.program("baton"), "check", "--state", daemon.state, "--plugins",
                daemon.plugins, "--config", file)
            #expect(bad.exit == .code(1))
            #expect(bad.output.contains("bad.yaml:2"), "\(bad.output)")

            try Data("no image".utf8).write(to: URL(filePath: "\(daemon.plugins)/text.so"))
            #expect(unsafe chmod(daemon.plugins, 0o777) == 0)
            let open = try state.check()
            #expect(open.exit == .code(1))
            #expect(open.report.faults.contains { $0.what.contains("chmod o-w") })
            #expect(unsafe chmod(daemon.plugins, 0o755) == 0)
            let text = try state.check()
            #expect(text.report.faults.map(\.service) == ["text"])
            #expect(unsafe unlink("\(daemon.plugins)/text.so") == 0)

            #expect(unsafe chmod("\(daemon.state)/mailboxes", 0o777) == 0)
            let mailboxes = try state.check()
            #expect(mailboxes.exit == .code(1))
            #expect(mailboxes.report.faults.map(\.kind) == ["refused"])
            #expect(unsafe chmod("\(daemon.state)/mailboxes", 0o700) == 0)
            #expect(try state.check().exit == .code(0))
        }

        @Test("A removed service and its marker are known; one that rots is told")
        func removed() throws {
            #expect(unsafe unlink("\(daemon.plugins)/ping.so") == 0)
            _ = try daemon.client.reload()
            try daemon.stop()
            let (report, exit) = try state.check()
            #expect(exit == .code(0), "\(report.findings)")
            #expect(report.mailbox("ping")?.removed == true)
            try state.change("\(daemon.state)/mailboxes/ping.removed") { $0[20] = 33 }
            let rotten = try state.check()
            #expect(rotten.exit == .code(1))
            #expect(rotten.report.faults.map(\.service) == ["ping"])
        }

        @Test("Exit statuses: 4 for no such service, 64 for usage, 69 for no state directory")
        func exits() throws {
            #expect(try state.baton("check", "nobody").exit == .code(4))
            #expect(try state.baton("repair", "nobody").exit == .code(1))
            try daemon.stop()
            #expect(try state.baton("repair", "nobody").exit == .code(4))
            #expect(try state.baton("check", "No Body").exit == .code(64))
            #expect(try state.baton("check", "--frobnicate").exit == .code(64))
            let none = try Tool.run(
                Products.program("baton"), "check", "--state", "/nonexistent/state")
            #expect(none.exit == .code(69))
            #expect(none.error.contains("/nonexistent/state"))
            let help = try Tool.run(Products.program("baton"), "help", "check")
            #expect(help.exit == .code(0) && help.output.contains("69"))
        }
    }
}
