// `baton repair`: a damaged service runs again, what is lost is told beforehand and to the message, and
// the damaged files stay.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("72 Repair") struct Repair {
        let daemon: TestDaemon
        let state: KeptState

        /// counter with a sum of 15 after five messages, and three that wait; ping beside it.
        init() throws {
            daemon = try TestDaemon(plugins: "counter", "ping")
            state = KeptState(daemon: daemon)
            for number in 1...5 { _ = try daemon.call("counter", "\(number)") }
            try daemon.client.change(.suspend, "counter")
            for number in 6...8 {
                #expect(try daemon.client.send("counter", Array("100\(number)".utf8)) == number)
            }
        }

        @Test(
            "The messages that can be read are handled, the lost one is named, the rest is as it was"
        )
        func lostMessage() throws {
            try daemon.stop()
            try state.rot("1007", in: "counter")
            try daemon.start()
            let status = try daemon.status("counter")
            #expect(status.state == .quarantined)
            #expect(status.reason?.contains("message 7 on") == true, "\(status.reason ?? "")")
            #expect(status.reason?.contains("baton repair") == true)
            #expect(try daemon.call("ping", "ping") == "pong")

            let running = try state.baton("repair", "counter", "--yes")
            #expect(running.exit == .code(1))
            #expect(running.error.contains("process \(daemon.pid)"), "\(running.error)")

            try daemon.stop()
            let damaged = try FileTree(state.mailbox("counter"))
            let neighbour = try FileTree(state.mailbox("ping"))
            let asked = try state.baton("repair", "counter")
            #expect(asked.exit == .code(1), "nobody was there to say yes")
            #expect(asked.output.contains("lost: message 7\n"), "\(asked.output)")
            #expect(asked.output.contains("kept: 2 messages that wait, the state as of message 5"))
            #expect(try FileTree(state.mailbox("counter")).differences(from: damaged) == [])

            let repair = try state.repair("counter")
            #expect(repair.repaired && repair.mailbox == "clean")
            #expect(repair.lost == [[7, 7]] && repair.again == [] && repair.waiting == 2)
            let kept = try FileTree(try #require(repair.kept))
            // The exchange itself touches the directory's own time.
            #expect(kept.differences(from: damaged).filter { $0 != "." } == [])
            #expect(try FileTree(state.mailbox("ping")).differences(from: neighbour) == [])
            #expect(try state.check().exit == .code(0))
            let again = try state.repair("counter")
            #expect(!again.repaired && again.found == "clean")

            try daemon.start()
            try wait(for: "what waits") { try daemon.status("counter").waiting == 0 }
            #expect(try daemon.call("counter", "?") == "sum=\(15 + 1006 + 1008)")
            #expect(try daemon.client.send("counter", Array("1".utf8)) == 10)
            #expect(try daemon.call("ping", "ping") == "pong")
            // It is a mailbox like any other: it survives, and upgrades.
            try daemon.killHard()
            try daemon.start()
            #expect(
                try daemon.reload(Products.bytes("counter-2"), as: "counter").verdict == .upgraded)
            #expect(try daemon.call("counter", "1") == "\(15 + 1006 + 1008 + 2)")
        }

        @Test("A rotten state is made anew from the one before it and the messages since")
        func lostState() throws {
            try daemon.stop()
            // The last settle record of the five: its state is format 1, then the sum.
            let path = try #require(try state.segments("counter").first)
            try state.change(path) { bytes in
                let sum = Data([1, 15, 0, 0, 0, 0, 0, 0, 0])
                let place = try #require(bytes.range(of: sum))
                bytes[place.lowerBound + 1] ^= 1
            }
            let repair = try state.repair("counter")
            #expect(repair.lost == [] && repair.again == [[5, 5]] && repair.waiting == 4)
            try daemon.start()
            try wait(for: "what waits") { try daemon.status("counter").waiting == 0 }
            #expect(try daemon.call("counter", "?") == "sum=\(15 + 1006 + 1007 + 1008)")
        }

        @Test(
            "A mailbox without a segment begins anew, and says that it cannot know what was in it")
        func everythingGone() throws {
            try daemon.stop()
            try FileManager.default.removeItem(atPath: state.mailbox("counter"))
            let told = try state.baton("repair", "counter")
            #expect(told.exit == .code(1))
            #expect(
                told.output.contains("lost: all there was; what that was cannot be known"),
                "\(told.output)")
            let done = try state.repair("counter")
            #expect(done.repaired && done.stateLost == true)
            try daemon.start()
            #expect(try daemon.call("counter", "4") == "4")
        }

        @Test("Where a recorded answer has rotted, a repeat of its message is a new one")
        func lostAnswer() throws {
            try daemon.client.change(.resume, "counter")
            func call() throws -> String {
                String(
                    decoding: try daemon.client.call("counter", Array("700".utf8), id: "a"),
                    as: UTF8.self)
            }
            #expect(try call() == "3736")
            #expect(try daemon.call("counter", "0") == "3736")
            try daemon.stop()
            // The answer stands before the state.
            try state.rot("3736", in: "counter")
            #expect(try state.repair("counter").repaired)
            try daemon.start()
            for _ in 1...2 { #expect(try call() == "4436") }
            #expect(try daemon.call("ping", "ping") == "pong")
        }

        @Test("What has rotted again within a second is repaired again, beside the first")
        func again() throws {
            try daemon.stop()
            var kept: Set<String> = []
            for message in ["1006", "1007", "1008"] {
                try state.rot(message, in: "counter")
                kept.insert(try #require(try state.repair("counter").kept))
            }
            #expect(kept.count == 3)
            try daemon.start()
            try wait(for: "what waits") { try daemon.status("counter").waiting == 0 }
            #expect(try daemon.call("counter", "?") == "sum=15")
        }

        @Test("It may be cut off and done again: what another try has left is in nobody's way")
        func cutOff() throws {
            try daemon.stop()
            try state.rot("1007", in: "counter")
            _ = try daemon.directory.makeDirectory("state/repaired/counter-20200101T000000Z")
            try daemon.directory.write(
                Data("half".utf8), "state/repaired/counter-20200101T000000Z/0000000002.segment.new")
            #expect(try state.repair("counter").repaired)
            try daemon.start()
            #expect(try daemon.status("counter").state == .running)
            try daemon.stop()
            #expect(try state.check().exit == .code(0))
        }

        @Test(
            "At a terminal it asks, and only yes is yes", .enabled(if: Tool.find("script") != nil))
        func asks() throws {
            try daemon.stop()
            try state.rot("1007", in: "counter")
            let words = [Products.program("baton"), "repair", "counter", "--state", daemon.state]
            func answer(_ text: String) throws -> Tool.Output {
                try Tool.run(
                    "script", "-qec", words.joined(separator: " "), "/dev/null", input: text)
            }
            let no = try answer("n\n")
            #expect(no.exit == .code(1), "\(no.output)")
            #expect(no.output.contains("Repair it so? [y/N]"))
            #expect(try state.check().exit == .code(1))
            let yes = try answer("y\n")
            #expect(yes.exit == .code(0), "\(yes.output)")
            #expect(try state.check().exit == .code(0))
        }

        @Test(
            "Without room nothing is changed", .enabled(if: geteuid() == 0, "mounts a file system"))
        func noRoom() throws {
            try daemon.stop()
            try state.rot("1007", in: "counter")
            let repaired = try daemon.directory.makeDirectory("state/repaired")
            let mount = try Tool.run(
                "mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", repaired)
            guard mount.exit == .code(0) else {
                print("repair without room is not tested: \(mount.error)")
                return
            }
            defer { _ = try? Tool.run("umount", "-l", repaired) }
            let before = try FileTree(state.mailbox("counter"))
            let refused = try state.baton("repair", "counter", "--yes")
            #expect(refused.exit == .code(1))
            #expect(refused.error.contains("No space left"), "\(refused.error)")
            #expect(refused.error.contains("The mailbox is as it was"))
            #expect(try FileTree(state.mailbox("counter")).differences(from: before) == [])
            #expect(try FileManager.default.contentsOfDirectory(atPath: repaired) == [])
        }

        @Test(
            "Root repairs as the user that the state belongs to",
            .enabled(if: geteuid() == 0, "takes another user's name"))
        func owner() throws {
            try daemon.stop()
            try state.rot("1007", in: "counter")
            let chown = try Tool.run("chown", "-R", "12345:12345", daemon.state)
            #expect(chown.exit == .code(0))
            #expect(unsafe chmod(daemon.directory.path, 0o755) == 0)
            #expect(try state.repair("counter").repaired)
            let foreign = try Tool.run("find", daemon.state, "!", "-user", "12345")
            #expect(foreign.output == "")
        }
    }
}
