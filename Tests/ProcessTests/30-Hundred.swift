// A hundred clients at once while the code changes under them.

import BatonClient
import Foundation
import Testing

extension Processes {
    @Suite("30 A hundred clients") struct Hundred {
        @Test("Fifty upgrades: every message one reply, in order, one boundary per upgrade")
        func fifty() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            let clients = try (0..<100).map { _ in
                try PipelinedClient(
                    StampTalk(), path: daemon.runtime.serviceSocket("stamp"), window: 64)
            }
            let images = try (2...51).map { version in
                try daemon.directory.write(Stamp.image(version), "\(version).so")
            }
            let control = daemon.client
            // Each upgrade begins when the one before has its verdict and messages went through.
            let upgrades = Background {
                try images.map { image in
                    let verdict = try control.upgrade("stamp", image: image).decoded()
                    _ = try control.call("stamp", Array("between".utf8))
                    return verdict
                }
            }
            try Crowd(clients).work { upgrades.isOver }
            let verdicts = try upgrades.value()

            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            #expect(verdicts.allSatisfy { $0.verdict == .upgraded })
            #expect(verdicts.compactMap(\.to) == (2...51).map(Stamp.label))

            // Version v handled the messages between its two switches, and no other.
            var replies: [Int: Int] = [:]
            for client in clients {
                replies.merge(client.talk.counts(of: client.received), uniquingKeysWith: +)
            }
            let switches = [0] + verdicts.compactMap(\.switchSequence)
            #expect(switches == switches.sorted())
            for (version, (after, upTo)) in zip(1..., zip(switches, switches.dropFirst())) {
                // `between` went to this version too, but for the first one.
                let own = upTo - after - (version == 1 ? 0 : 1)
                #expect(replies[version, default: 0] == own, "version \(version)")
            }

            let total = clients.map(\.received).reduce(0, +) + 50
            #expect(try daemon.call("stamp", "count") == "0051 count=\(total)")
            let status = try daemon.status("stamp")
            #expect(status.upgrades == 50)
            #expect(status.restarts == 0)
            print("fifty upgrades under \(total) messages of a hundred clients")
        }

        @Test("counter's sum is right after 1, 2 and 3 took turns under a hundred clients")
        func counter() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let clients = try (0..<100).map { _ in
                try PipelinedClient(
                    SumTalk(isAlone: false), path: daemon.runtime.serviceSocket("counter"),
                    window: 64)
            }
            let control = daemon.client
            let images = ["counter-2", "counter-3"].map(Products.image)
            let upgrades = Background {
                try images.map { image in
                    // Messages go through before each, and after the last.
                    let before = try control.status("counter").decoded().settled
                    try wait(for: "messages between upgrades") {
                        try control.status("counter").decoded().settled > before + 20_000
                    }
                    return try control.upgrade("counter", image: image).decoded()
                }
            }
            try Crowd(clients).work { upgrades.isOver }
            #expect(try upgrades.value().map(\.verdict) == [.upgraded, .upgraded])
            let total = clients.map(\.received).reduce(0, +)
            #expect(total == clients.map(\.sent).reduce(0, +))
            #expect(clients.map(\.talk.sum).max() == total)
            #expect(try daemon.call("counter", "0") == "\(total)")
            #expect(try daemon.status("counter").version == "3")
        }

        @Test("Clients that go away in the middle lose replies, never messages, and disturb nobody")
        func leaving() throws {
            let daemon = try TestDaemon(plugins: "counter")
            let staying = try PipelinedClient(
                SumTalk(isAlone: false), path: daemon.runtime.serviceSocket("counter"), window: 256,
                goal: 50_000)
            var left = 0
            try Crowd([staying]).work {
                guard left < 200, staying.received >= 200 * left else { return false }
                // All its lines are in the socket when it goes.
                let leaving = try daemon.lines("counter")
                try leaving.send(String(repeating: "1\n", count: 100))
                if left % 2 == 0 { _ = try leaving.line() }
                left += 1
                return false
            }
            #expect(left > 100)
            try wait(for: "the end of the other connections") {
                try daemon.status("counter").connections == 1
            }
            #expect(try daemon.call("counter", "0") == "\(50_000 + 100 * left)")
        }

        @Test("Twenty services upgraded in one reload while each has its clients")
        func twentyServices() throws {
            let names = (1...20).map { "stamp-\($0)" }
            let daemon = try TestDaemon(
                Dictionary(uniqueKeysWithValues: names.map { ($0, Products.image("stamp")) }))
            let clients = try names.flatMap { name in
                try (1...3).map { _ in
                    try PipelinedClient(
                        StampTalk(), path: daemon.runtime.serviceSocket(name), window: 64)
                }
            }
            let next = try Stamp.image(2)
            for name in names { try daemon.install(next, as: name) }
            let control = daemon.client
            let reload = Background { try control.reload().decoded() }
            try Crowd(clients).work { reload.isOver }
            let verdicts = try reload.value()
            #expect(verdicts.map(\.service).sorted() == names.sorted())
            #expect(verdicts.allSatisfy { $0.verdict == .upgraded && $0.to == "0002" })
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            for (name, index) in zip(names, 0...) {
                let total = clients[3 * index..<3 * index + 3].map(\.received).reduce(0, +)
                #expect(try daemon.call(name, "count") == "0002 count=\(total)")
            }
        }
    }
}
