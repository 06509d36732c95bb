// How long messages wait during an upgrade does not depend on how many there are.

import BatonClient
import Foundation
import Testing

extension Processes {
    @Suite("40 The pause") struct Pause {
        /// Sends `count` messages to the suspended service, each with its receipt.
        private func fill(_ daemon: TestDaemon, with count: Int) throws {
            guard count > 0 else { return }
            let sender = try PipelinedClient(
                ReceiptTalk(service: "stamp", message: "0123456789abcdef"),
                path: daemon.runtime.messageSocket, window: 16384, goal: count)
            try Crowd([sender]).work()
            #expect(sender.received == count)
        }

        @Test("It is of one order with 0, 10,000 and a million messages waiting")
        func waiting() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            var handled = 0
            var pauses: [Int: Int] = [:]
            for (version, backlog) in zip(2..., [0, 10_000, 1_000_000]) {
                try daemon.client.change(.suspend, "stamp")
                try fill(daemon, with: backlog)
                #expect(try daemon.status("stamp").waiting == backlog)
                let verdict = try daemon.reload(Stamp.image(version), as: "stamp")
                #expect(verdict.verdict == .upgraded)
                #expect(verdict.switchSequence == handled)
                pauses[backlog] = verdict.pauseMicroseconds
                // An upgrade does not end a suspension by hand.
                #expect(try daemon.status("stamp").waiting == backlog)
                try daemon.client.change(.resume, "stamp")
                handled += backlog
                let reply = try daemon.call("stamp", "count")
                #expect(reply == "\(Stamp.label(version)) count=\(handled)")
                handled += 1
            }
            let none = try #require(pauses[0])
            let million = try #require(pauses[1_000_000])
            print("the pause in µs by messages waiting: \(pauses.sorted { $0.key < $1.key })")
            #expect(million < 100 * none + 200_000)
        }

        @Test("It is of one order while a million messages are worked off")
        func workedOff() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            let backlog = 1_000_000
            try daemon.client.change(.suspend, "stamp")
            try fill(daemon, with: backlog)
            let image = try daemon.directory.write(Stamp.image(2), "2.so")
            try daemon.client.change(.resume, "stamp")
            let verdict = try daemon.upgrade("stamp", to: image)
            #expect(verdict.verdict == .upgraded)
            let handled = try #require(verdict.switchSequence)
            #expect(handled <= backlog)
            #expect(try daemon.call("stamp", "count") == "0002 count=\(backlog)")
            print("the pause after \(handled) of a million: \(verdict.pauseMicroseconds ?? -1) µs")
        }
    }
}
