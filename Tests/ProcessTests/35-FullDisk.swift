// A disk that is full for real: at every step that needs room, nothing that was accepted is lost, what is
// new is refused with READONLY, and everything goes on by itself once there is room.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite(
        "35 A full disk",
        .enabled(if: FileSystem.obstacle(.ext4) == nil, "it takes root and loop devices"))
    struct FullDisk {
        /// A daemon whose state is on a file system of its own.
        private final class Ground {
            let daemon: TestDaemon
            let disk: FileSystem
            /// Numbers that had a receipt.
            var accepted = 0

            init(mebibytes: Int) throws {
                daemon = try TestDaemon()
                try daemon.stop()
                disk = try FileSystem(.ext4, mebibytes: mebibytes, at: daemon.state)
                try daemon.install(Products.image("ledger"), as: "ledger")
                try daemon.install(Products.image("ping"), as: "ping")
                try daemon.start()
            }

            deinit {
                try? daemon.killHard()
                try? disk.unmount()
            }

            /// SENDs it; false if it is refused with READONLY.
            func isAccepted(_ service: String, _ message: String, id: String? = nil) throws -> Bool
            {
                do throws(ClientError) {
                    _ = try daemon.client.send(service, Array(message.utf8), id: id)
                } catch {
                    guard case .refused("READONLY", _) = error else { throw error }
                    return false
                }
                return true
            }

            /// SENDs the next number; false if it is refused with READONLY.
            func send() throws -> Bool {
                guard try isAccepted("ledger", LedgerTalk.message(0, accepted + 1)) else {
                    return false
                }
                accepted += 1
                return true
            }

            /// SENDs until there is no room.
            /// - Parameter send: the message of this number; whether it was accepted.
            /// - Returns: how many were.
            func untilFull(_ send: (Int) throws -> Bool) throws -> Int {
                for count in 0..<20_000 where try !send(count) { return count }
                throw Failure("the disk is never full")
            }

            /// SENDs until there is no room.
            func sendUntilFull() throws { _ = try untilFull { _ in try send() } }

            /// Everything accepted is in the state, once and in order.
            func expectKept(sourceLocation: SourceLocation = #_sourceLocation) throws {
                var answer = ""
                try wait(for: "room for a question") {
                    do throws(ClientError) {
                        answer = String(
                            decoding: try daemon.client.call("ledger", Array("state".utf8)),
                            as: UTF8.self)
                    } catch {
                        guard case .refused("READONLY", _) = error else { throw error }
                        return false
                    }
                    return true
                }
                #expect(
                    answer == "\(accepted) 0 0 0 0 0 0 0", sourceLocation: sourceLocation)
            }

            /// Sends until it is accepted again, without anybody's help.
            func expectRoom() throws {
                try wait(for: "an accepted message") { try send() }
            }
        }

        @Test("At accept, roll, settle: READONLY, the backlog drains, and then there is room")
        func acceptAndSettle() throws {
            let ground = try Ground(mebibytes: 24)
            let daemon = ground.daemon
            #expect(try ground.send())
            _ = try daemon.client.change(.suspend, "ledger")
            try ground.disk.fill()
            try ground.sendUntilFull()
            let accepted = ground.accepted
            #expect(accepted > 10)
            // Line clients are told the same.
            #expect(try daemon.lines("ledger").ask("0 1").hasPrefix("-READONLY "))
            // A neighbour that has room in its segment goes on.
            #expect(try daemon.call("ping", "ping") == "pong")
            for _ in 1...20 { #expect(try !ground.send()) }

            // What was accepted is handled and settled, for which room was kept.
            _ = try daemon.client.change(.resume, "ledger")
            try wait(for: "the backlog's end") {
                let status = try daemon.status("ledger")
                return status.settled == UInt64(accepted) && status.waiting == 0
            }

            // A batond that is started on the full disk has it all.
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.status("ledger").settled == UInt64(accepted))
            try ground.sendUntilFull()

            try ground.disk.makeRoom()
            try ground.expectRoom()
            try ground.expectKept()
            for said in [
                "the disk is nearly full", "read-only: new messages are refused",
                "messages are taken again", "there is room again",
            ] { #expect(daemon.logText.contains(said), "not told: \(said)") }
        }

        @Test(
            "What was accepted is settled without room, whatever settling takes, and by the same host",
            arguments: [
                ("counter", "1", true), ("trial", "sum 1 3", false),
                ("faulty", "reply 200", true),
            ])
        func drains(service: String, message: String, withIDs: Bool) throws {
            let ground = try Ground(mebibytes: 8)
            let daemon = ground.daemon
            try daemon.install(Products.image(service), as: service)
            #expect(try daemon.client.reload().decoded().contains { $0.verdict == .started })
            let reply = try daemon.client.call(service, Array(message.utf8), id: "0")
            let host = try daemon.status(service).pid
            _ = try daemon.client.change(.suspend, service)
            try ground.disk.fill()
            let accepted = try ground.untilFull { number in
                try ground.isAccepted(service, message, id: withIDs ? "\(number)" : nil)
            }
            #expect(accepted > 100)
            _ = try daemon.client.change(.resume, service)
            print("\(service): \(accepted) accepted on the full disk")
            try wait(for: "the backlog's end") { try daemon.status(service).waiting == 0 }
            let status = try daemon.status(service)
            #expect(status.pid == host && status.settled == status.appended)

            // It comes up on the full disk, too, again and again, and knows what it has answered.
            for _ in 1...5 {
                try daemon.killHard()
                try daemon.start()
            }
            #expect(try daemon.client.call(service, Array(message.utf8), id: "0") == reply)
        }

        @Test("Answers that have no room wait for it, with their host: nothing is handled twice")
        func answersWait() throws {
            let ground = try Ground(mebibytes: 24)
            let daemon = ground.daemon
            try daemon.install(Products.image("faulty"), as: "faulty")
            #expect(try daemon.client.reload().decoded().contains { $0.verdict == .started })
            let host = try daemon.status("faulty").pid
            _ = try daemon.client.change(.suspend, "faulty")
            try ground.disk.fill()
            let accepted = try ground.untilFull { number in
                try ground.isAccepted("faulty", "reply 2000", id: "\(number)")
            }
            _ = try daemon.client.change(.resume, "faulty")
            try wait(for: "what it waits for") {
                try daemon.baton("explain", "faulty").output.contains("room on the disk")
            }
            Thread.sleep(forTimeInterval: 1.5)
            #expect(try daemon.status("faulty").waiting > 0)
            #expect(try daemon.status("faulty").pid == host)
            #expect(try daemon.call("ping", "ping") == "pong")

            try ground.disk.makeRoom()
            try wait(for: "the backlog's end") { try daemon.status("faulty").waiting == 0 }
            #expect(try daemon.call("faulty", "count") == "\(accepted)")
            #expect(try daemon.status("faulty").pid == host)
            let again = try daemon.client.call("faulty", Array("reply 2000".utf8), id: "1")
            #expect(again == [UInt8](repeating: UInt8(ascii: "x"), count: 2000))
        }

        @Test("At a checkpoint: the old state stays, and what waits is handled later")
        func checkpoint() throws {
            let ground = try Ground(mebibytes: 24)
            let daemon = ground.daemon
            #expect(try daemon.call("ledger", "pad 300000") == "padded")
            for _ in 1...5 { #expect(try ground.send()) }
            try wait(for: "rest") { try daemon.status("ledger").waiting == 0 }
            try ground.disk.fill()
            try ground.sendUntilFull()
            #expect(try daemon.call("ping", "ping") == "pong")
            // In its midst, killed.
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("ping", "ping") == "pong")
            try ground.disk.makeRoom()
            try ground.expectRoom()
            try ground.expectKept()
            #expect(try daemon.status("ledger").deadLetters == 0)
        }

        @Test("At an upgrade: refused, with the reason; the running version goes on")
        func upgrade() throws {
            let ground = try Ground(mebibytes: 24)
            let daemon = ground.daemon
            #expect(try ground.send())
            try ground.disk.fill()
            let image = try daemon.directory.write(Stamp.image(2, of: "ledger"), "second.so")
            let verdict = try daemon.upgrade("ledger", to: image)
            #expect(verdict.verdict == .refused)
            #expect(verdict.reason?.contains("No space left") == true, "\(verdict)")
            #expect(try daemon.status("ledger").version == "0001")
            #expect(try ground.send())
            try ground.disk.makeRoom()
            #expect(try daemon.upgrade("ledger", to: image).verdict == .upgraded)
            #expect(try ground.send())
            try ground.expectKept()
        }

        @Test("A service whose first segment has no room comes up by itself once there is some")
        func firstSegment() throws {
            let ground = try Ground(mebibytes: 24)
            let daemon = ground.daemon
            try ground.disk.fill()
            try daemon.install(Products.image("echo-c"), as: "echo-c")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("ping", "ping") == "pong")
            #expect(try daemon.lines("echo-c").line()?.hasPrefix("-READONLY ") == true)
            #expect(try daemon.status("echo-c").state == .readOnly)
            try ground.disk.makeRoom()
            try wait(for: "echo-c") { (try? daemon.call("echo-c", "here")) == "here" }
        }
    }
}
