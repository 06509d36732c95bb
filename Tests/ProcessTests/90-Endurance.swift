// Hundreds of upgrades leave nothing behind.

import BatonClient
import Foundation
import Testing

extension Processes {
    @Suite("90 Endurance") struct Endurance {
        /// What batond takes of the machine.
        private struct Footprint: CustomStringConvertible {
            var kibibytes: Int
            var descriptors: Int
            var diskBytes: Int

            init(_ daemon: TestDaemon) throws {
                kibibytes = try ProcessTable.residentKibibytes(daemon.pid)
                descriptors = try ProcessTable.descriptorCount(daemon.pid)
                diskBytes = try FileManager.default.subpathsOfDirectory(atPath: daemon.state)
                    .map { name in
                        let file = "\(daemon.state)/\(name)"
                        // Segments and images come and go while this looks.
                        let size = (try? FileManager.default.attributesOfItem(atPath: file))?[.size]
                        return (size as? NSNumber)?.intValue ?? 0
                    }.reduce(0, +)
            }

            var description: String {
                "\(kibibytes) KiB, \(descriptors) descriptors, \(diskBytes >> 10) KiB on disk"
            }
        }

        @Test("500 upgrades under load: memory, descriptors and disk flat, no zombie, two hosts")
        func fiveHundred() throws {
            // What a rollback would need is kept for so long, which is no leak.
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")], configuration: "probation: 50ms")
            let clients = try (0..<8).map { _ in
                try PipelinedClient(
                    StampTalk(), path: daemon.runtime.serviceSocket("stamp"), window: 256)
            }
            let image = "\(daemon.directory.path)/next.so"
            let control = daemon.client
            // Upgrades in a row; the load goes on all the while, between two legs too.
            func leg(_ versions: ClosedRange<Int>) throws {
                let upgrades = Background {
                    for version in versions {
                        try Stamp.image(version).write(to: URL(filePath: image))
                        let verdict = try control.upgrade("stamp", image: image).decoded()
                        guard verdict.verdict == .upgraded else { throw Failure("\(verdict)") }
                    }
                }
                for client in clients { client.goal = .max }
                try Crowd(clients).work { upgrades.isOver }
                try upgrades.value()
            }
            try leg(2...51)
            let before = try Footprint(daemon)
            try leg(52...501)
            let after = try Footprint(daemon)
            print("after 50 upgrades \(before); after 500 \(after)")

            #expect(after.kibibytes <= before.kibibytes * 12 / 10 + 4096)
            #expect(after.descriptors <= before.descriptors + 4)
            // A segment or two more may be on their way.
            #expect(after.diskBytes <= before.diskBytes + (64 << 20))
            #expect(ProcessTable.zombies(of: daemon.pid).isEmpty)
            // A purged host ends by itself, and nobody waits for it.
            try wait(for: "the end of the purged host") {
                ProcessTable.children(of: daemon.pid).count <= 2
            }
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            let total = clients.map(\.received).reduce(0, +)
            #expect(try daemon.call("stamp", "count") == "0501 count=\(total)")
            #expect(try daemon.status("stamp").upgrades == 500)
        }

        @Test("Five hundred clients that come and go leave nothing")
        func clients() throws {
            let daemon = try TestDaemon(plugins: "ping")
            func wave() throws {
                for number in 0..<500 {
                    let client = try daemon.lines("ping")
                    try client.send("ping\n")
                    // Some read their reply, some go at once.
                    if number % 3 != 0 { #expect(try client.line() == "pong") }
                }
            }
            try wave()
            #expect(try daemon.call("ping", "ping") == "pong")
            let before = try Footprint(daemon)
            for _ in 1...4 { try wave() }
            #expect(try daemon.call("ping", "ping") == "pong")
            try wait(for: "the end of every connection") {
                try daemon.status("ping").connections == 0
            }
            let after = try Footprint(daemon)
            #expect(after.descriptors <= before.descriptors + 4)
            #expect(after.kibibytes <= before.kibibytes * 12 / 10 + 4096)
            #expect(try daemon.status("ping").settled == 2502)
        }
    }
}
