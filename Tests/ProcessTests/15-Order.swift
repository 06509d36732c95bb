// Replies in order, and what waits for its turn: it leaves as soon as it may, it is counted, and it
// takes no more memory than is allowed.

import BatonClient
import BatonCore
import BatonLinux
import Foundation
import Testing

/// The same request again and again, behind an opening. A reply of several lines is as many
/// messages, of which the first alone is said.
private struct Refrain: Conversation {
    var opening: [UInt8] = []
    var openingReply: [[UInt8]] = []
    var request: [UInt8]
    var reply: [[UInt8]]

    /// `CALL service message` with `options`, answered by the message.
    init(call service: String, _ message: String, options: String = "") {
        request = Array("CALL \(service) \(message) \(options)\n".utf8)
        reply = [Array("$\(message.utf8.count)\r".utf8), Array("\(message)\r".utf8)]
    }

    /// A line that is echoed.
    init(line: String) {
        request = Array("\(line)\n".utf8)
        reply = [Array(line.utf8)]
    }

    mutating func say(_ index: Int, to bytes: inout [UInt8]) {
        if index == 0 { bytes += opening }
        let place = index - openingReply.count
        if place >= 0, place % reply.count == 0 { bytes += request }
    }

    mutating func hear(_ heard: ArraySlice<UInt8>, _ index: Int) throws {
        let place = index - openingReply.count
        let due = place < 0 ? openingReply[index] : reply[place % reply.count]
        guard heard.elementsEqual(due) else {
            let beginning = String(decoding: heard.prefix(80), as: UTF8.self)
            throw Failure("line \(index) of the replies is '\(beginning)'")
        }
    }
}

extension Processes {
    @Suite("15 Order") struct Order {
        @Test("Durable replies behind one that timed out leave with it")
        func behindTimeout() throws {
            let daemon = try TestDaemon(plugins: "faulty", "counter")
            let client = try LineClient(path: daemon.runtime.messageSocket)
            try client.send("CALL faulty hang TIMEOUT 200\nSEND counter 1\nCALL counter 1\n")
            client.endInput()
            let lines = try client.remainingLines()
            #expect(lines.first?.hasPrefix("-TIMEOUT ") == true, "\(lines)")
            #expect(lines.dropFirst() == [":1\r", "$1\r", "2\r"])
        }

        @Test("Durable replies behind a reload's answer leave with it")
        func behindReload() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let soon = Deadline(after: .patience)
            var control = try RESPConnection(path: daemon.runtime.controlSocket, deadline: soon)
            for sum in 1...20 {
                try control.send([Array("RELOAD".utf8)], deadline: soon)
                try control.send(["CALL", "counter", "1"].map { Array($0.utf8) }, deadline: soon)
                guard case .bulk = try control.receive(deadline: soon) else {
                    Issue.record("RELOAD is not answered by verdicts")
                    return
                }
                #expect(try control.receive(deadline: soon) == .bulk(Array("\(sum)".utf8)))
            }
        }

        @Test("Replies that wait behind a slow one are counted: batond's memory is bounded")
        func behindSlow() throws {
            let daemon = try TestDaemon(plugins: "faulty", "echo-c")
            var talk = Refrain(call: "echo-c", String(repeating: "y", count: 1_000_000))
            // An array: a line may not be as long as what follows.
            talk.request =
                Array("*3\r\n$4\r\nCALL\r\n$6\r\necho-c\r\n$1000000\r\n".utf8)
                + [UInt8](repeating: UInt8(ascii: "y"), count: 1_000_000) + Array("\r\n".utf8)
            talk.opening = Array("CALL faulty \"sleep 3000\"\r\n".utf8)
            talk.openingReply = [Array("$5\r".utf8), Array("slept\r".utf8)]
            let lines = 2 + 2 * 400
            let client = try PipelinedClient(
                talk, path: daemon.runtime.messageSocket, window: lines, goal: lines)
            let before = try ProcessTable.residentKibibytes(daemon.pid)
            var most = before
            try Crowd([client]).work {
                most = max(most, try ProcessTable.residentKibibytes(daemon.pid))
                return false
            }
            #expect(client.received == lines)
            // Held back are the hard limit of replies, in an array that doubles beside the one before,
            // and what is under way; all of them would be 400 MB.
            #expect(
                most - before < 6 * FixedLimits.hardRepliesBytes >> 10,
                "\(before) KiB, then \(most) KiB")
        }

        @Test("A call that was answered leaves nothing behind, however long its timeout")
        func longTimeouts() throws {
            let daemon = try TestDaemon(plugins: "echo-c")
            let goal = 2 * 500_000
            let client = try PipelinedClient(
                Refrain(call: "echo-c", "x", options: "TIMEOUT 86400000"),
                path: daemon.runtime.messageSocket, window: 2000, goal: goal)
            let before = try ProcessTable.residentKibibytes(daemon.pid)
            try Crowd([client]).work()
            #expect(client.received == goal)
            // A timer each would be 70 MB.
            let after = try ProcessTable.residentKibibytes(daemon.pid)
            #expect(after - before < 30 << 10, "\(before) KiB, then \(after) KiB")
        }

        @Test("A mailbox that was full again and again takes more as soon as it has room")
        func fullMailbox() throws {
            let daemon = try TestDaemon(
                plugins: "echo-c", configuration: "limits: {mailbox_bytes: 1 MiB}")
            let line = String(repeating: "z", count: 999)
            for _ in 1...6 {
                let client = try PipelinedClient(
                    Refrain(line: line), path: daemon.runtime.serviceSocket("echo-c"),
                    window: 40_000, goal: 40_000)
                try Crowd([client]).work()
                #expect(client.received == 40_000)
            }
            #expect(try daemon.lines("echo-c").ask("new") == "new")
            #expect(try daemon.client.send("echo-c", Array("kept".utf8)) == 240_002)
        }

        @Test("Clients of services do not take the operator's place; the surplus is told in RESP")
        func operatorsPlace() throws {
            let daemon = try TestDaemon(
                plugins: "ping", configuration: "limits: {connections: 10, connections_per_uid: 10}"
            )
            let clients = try (1...10).map { _ in try daemon.lines("ping") }
            for client in clients { #expect(try client.ask("ping") == "pong") }
            let surplus = try LineClient(path: daemon.runtime.messageSocket)
            let refusal = try surplus.line() ?? ""
            #expect(refusal.hasPrefix("-BUSY ") && refusal.hasSuffix("\r"), "\(refusal)")
            #expect(try surplus.line() == nil)
            let suspend = try daemon.baton("suspend", "ping")
            #expect(suspend.exit == .code(0), "\(suspend.error)")
            let resume = try daemon.baton("resume", "ping")
            #expect(resume.exit == .code(0), "\(resume.error)")
            for client in clients { #expect(try client.ask("ping") == "pong") }
        }
    }
}
