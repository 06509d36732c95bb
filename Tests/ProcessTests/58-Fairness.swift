// Nobody waits long for others: a client that sends a million messages ahead, a service that is slow, a
// client that asks for much, many that wait for room.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("58 Fairness") struct Fairness {
        @Test(
            "Beside a client that sends far ahead one that asks a message at a time is answered soon"
        )
        func ahead() throws {
            let daemon = try TestDaemon(plugins: "echo-c", configuration: "durability: none\n")
            let neighbour = try Neighbour(daemon, "echo-c", "mine", "mine")
            let alone = try neighbour.median(asking: 300)
            let hog = try daemon.lines("echo-c")
            let count = 3_000_000
            let sender = Background {
                let part = [UInt8](repeating: UInt8(ascii: "\n"), count: count / 30)
                for _ in 1...30 { try hog.send(part) }
                hog.endInput()
            }
            let work = Background { try hog.rest().count }
            let waits = try neighbour.waits(asking: 1_000_000) { work.isOver }
            try sender.value()
            #expect(try work.value() == count)
            print(
                "a neighbour's median \(alone), beside one that is far ahead \(waits[waits.count / 2]), "
                    + "\(waits.count) times")
            // Were it to wait for all that is there, it would have a turn or two.
            #expect(waits.count > 50)
            #expect(waits[waits.count / 2] < alone * 100)
        }

        @Test(
            "The same where each message takes a millisecond: it waits for some of them, not for all"
        )
        func aheadOfSlow() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            let neighbour = try Neighbour(daemon, "faulty", "mine", "mine")
            _ = try neighbour.median(asking: 100)
            let hog = try daemon.lines("faulty")
            let count = 2000
            try hog.send(String(repeating: "sleep 1\n", count: count))
            let work = Background {
                try ContinuousClock().measure { _ = try hog.lines(count) }
            }
            let waits = try neighbour.waits(asking: 1_000_000) { work.isOver }
            let all = try work.value()
            let median = waits[waits.count / 2]
            print(
                "2000 messages of 1 ms took \(all); a neighbour's median \(median), \(waits.count) times"
            )
            // Were it to wait for all of them, it would be one.
            #expect(waits.count > 20)
            #expect(waits[waits.count - 1] < all / 4)
        }

        @Test("A slow service costs no other one its time; nor does one that answers at once")
        func services() throws {
            let daemon = try TestDaemon(plugins: "faulty", "ping", "echo-c")
            let neighbour = try Neighbour(daemon, "ping", "ping", "pong")
            let alone = try neighbour.median(asking: 300)
            let slow = try daemon.lines("faulty")
            try slow.send(String(repeating: "sleep 100\n", count: 15))
            let path = daemon.runtime.serviceSocket("echo-c")
            let hog = Background {
                let client = try PipelinedClient(
                    EchoTalk(0), path: path, window: 1_000_000, goal: 3_000_000)
                try Crowd([client]).work()
            }
            let beside = try neighbour.median(asking: 1_000_000) { hog.isOver }
            try hog.value()
            #expect(try slow.lines(15).allSatisfy { $0 == "slept" })
            print("a neighbour's median \(alone), beside a slow and a busy service \(beside)")
            // What else the machine does changes meanwhile.
            let after = try neighbour.median(asking: 300)
            #expect(beside < max(alone, after) * 100)
        }

        @Test("A client that asks a hundred thousand things at once has all answers, others theirs")
        func questions() throws {
            let daemon = try TestDaemon(plugins: "ping", "echo-c", "counter", "faulty")
            let neighbour = try Neighbour(daemon, "ping", "ping", "pong")
            let alone = try neighbour.median(asking: 300)
            let client = try LineClient(path: daemon.runtime.messageSocket)
            let curious = Background {
                let sender = Background {
                    try client.send(String(repeating: "STATUS\n", count: 20_000))
                    client.endInput()
                }
                let answers = try client.remainingLines().count
                try sender.value()
                return answers
            }
            let waits = try neighbour.waits(asking: 1_000_000) { curious.isOver }
            // A length and a text each.
            #expect(try curious.value() == 2 * 20_000)
            print(
                "a neighbour's median \(alone), beside many questions \(waits[waits.count / 2]), "
                    + "\(waits.count) times")
            #expect(waits.count > 50)
        }

        @Test("What a client had sent counts, though it has gone before it was taken")
        func gone() throws {
            let daemon = try TestDaemon(plugins: "counter")
            for _ in 1...10 {
                // More than is taken at a time.
                try daemon.lines("counter").send(String(repeating: "1\n", count: 20_000))
            }
            try wait(for: "what they had sent") {
                try daemon.status("counter").settled == 200_000
            }
            #expect(try daemon.call("counter", "0") == "200000")
            #expect(try daemon.status("counter").connections == 0)
        }

        @Test("Clients that wait for room in a full mailbox all have their turn")
        func room() throws {
            let daemon = try TestDaemon(
                plugins: "echo-c", configuration: "limits: {mailbox_bytes: 1 MiB}")
            try daemon.client.change(.suspend, "echo-c")
            let path = daemon.runtime.serviceSocket("echo-c")
            let clients = try (0..<20).map { number in
                try PipelinedClient(LongTalk(number), path: path, window: 500, goal: 500)
            }
            var isResumed = false
            try Crowd(clients).work {
                // As soon as the mailbox is full, and everybody has sent.
                if !isResumed, clients.allSatisfy({ $0.sent > 50 }) {
                    isResumed = true
                    try daemon.client.change(.resume, "echo-c")
                }
                return false
            }
            #expect(clients.allSatisfy { $0.received == 500 })
        }
    }
}

/// Lines of 4000 bytes that come back.
private struct LongTalk: Conversation {
    private let line: [UInt8]

    init(_ number: Int) {
        line = Array((String(repeating: "l", count: 4000) + "\(number)").utf8)
    }

    func say(_ index: Int, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: line)
        bytes.append(UInt8(ascii: "\n"))
    }

    func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        guard reply.elementsEqual(line) else { throw Failure("message \(index) came back changed") }
    }
}
