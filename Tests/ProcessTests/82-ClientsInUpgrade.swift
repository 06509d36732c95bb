// Clients that go, stop reading, or send half a line while their service is suspended for an upgrade: it
// completes, and the others never notice.

import BatonClient
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("82 Clients in an upgrade") struct ClientsInUpgrade {
        let daemon: TestDaemon
        /// One that does everything right; it has added so much.
        let witness: LineClient
        private let sum = 51

        init() throws {
            daemon = try TestDaemon(
                configuration: "limits: {migrate_timeout: 30s, replies_bytes: 64 KiB}\n")
            #expect(try daemon.reload(Trial.first.image(), as: "trial").verdict == .started)
            witness = try daemon.lines("trial")
            #expect(try witness.ask("sum 1") == "1")
        }

        /// Holds the upgrade to the second version open in load, by a migration that takes its time
        /// with the last state, while `act` goes on; then looks whether all is well.
        /// - Parameter handled: how many sums `act` has added that count for certain.
        private func whileSuspended(
            _ act: () throws -> Int, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let image = try Trial.second("load-late 2000").file(in: daemon.directory)
            let control = daemon.client
            // The state changes all the time, so the one that prepare saw is not the last.
            try witness.send(String(repeating: "sum 1 20\n", count: sum - 1))
            let upgrade = Background { try control.upgrade("trial", image: image).decoded() }
            try wait(for: "the load of the last state") {
                try daemon.status("trial").phase == "load" || upgrade.isOver
            }
            let added = try act()
            #expect(try daemon.status("trial").phase == "load", "the test is too slow")
            #expect(try upgrade.value().verdict == .upgraded, sourceLocation: sourceLocation)
            let replies = try witness.lines(sum - 1).compactMap { Int($0) }
            #expect(replies.count == sum - 1, sourceLocation: sourceLocation)
            #expect(replies == replies.sorted(), sourceLocation: sourceLocation)
            #expect(try witness.ask("sum") == "\(sum + added)", sourceLocation: sourceLocation)
            #expect(try witness.ask("version") == "2", sourceLocation: sourceLocation)
            // And the next upgrade, with whatever is left of the clients.
            let next = Trial(version: "3", writes: 2, takes: 1...2)
            let verdict = try daemon.upgrade("trial", to: next.file(in: daemon.directory))
            #expect(verdict.verdict == .upgraded, sourceLocation: sourceLocation)
            #expect(try witness.ask("version") == "3", sourceLocation: sourceLocation)
        }

        @Test("A hundred that go without their replies: what they had sent counts")
        func gone() throws {
            let before = try daemon.status("trial").connections
            try whileSuspended {
                for _ in 1...100 { try daemon.lines("trial").send("sum 1000\n") }
                // Every client's end has been seen, and what it had sent before that.
                try wait(for: "the end of every client") {
                    try daemon.status("trial").connections == before
                }
                return 100 * 1000
            }
        }

        @Test("Some that do not read: they are no obstacle, and have their replies when they do")
        func notReading() throws {
            // More than what a socket and a queue of 64 KiB hold.
            let (count, line) = (5000, String(repeating: "e", count: 99))
            let clients = try (1...4).map { _ in try daemon.lines("trial") }
            try whileSuspended {
                for client in clients {
                    try client.send(String(repeating: line + "\n", count: count))
                }
                return 0
            }
            for client in clients {
                let replies = try client.lines(count)
                #expect(replies.allSatisfy { $0 == line })
            }
        }

        @Test("Half a line: its other half is taken by the new version, or it was never said")
        func halfALine() throws {
            let patient = try daemon.lines("trial")
            let hasty = try daemon.lines("trial")
            try whileSuspended {
                try patient.send("sum 10")
                try hasty.send("sum 5000")
                hasty.endInput()
                #expect(try hasty.line() == nil)
                return 0
            }
            // `sum 10` became `sum 10000`, with the half that came late.
            try patient.send("000\n")
            #expect(try patient.line() == "\(sum + 10_000)")
        }

        @Test("One that asks more than a connection may have in flight is held up, not the upgrade")
        func flood() throws {
            let client = try PipelinedClient(
                TrialEcho(), path: daemon.runtime.serviceSocket("trial"), window: 50_000,
                goal: 100_000)
            try whileSuspended {
                for _ in 1...200 where client.sent < 50_000 { try client.step() }
                return 0
            }
            try Crowd([client]).work()
            #expect(client.received == 100_000 && !client.isCut)
        }
    }
}

/// What trial does not know it echoes.
private struct TrialEcho: Conversation {
    mutating func say(_ index: Int, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "echo \(index)\n".utf8)
    }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        guard reply.elementsEqual("echo \(index)".utf8) else {
            throw Failure("message \(index) got '\(String(decoding: reply, as: UTF8.self))'")
        }
    }
}
