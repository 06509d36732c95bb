// Hundreds of upgrades leave nothing behind. BATON_UPGRADES=10000 makes it as many, by hand.

import BatonClient
import BatonCore
import BatonStore
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

        private static let upgrades =
            ProcessInfo.processInfo.environment["BATON_UPGRADES"]
            .flatMap { Int($0) }.map { max($0, 100) } ?? 500

        /// The most that the state directory holds of one service at rest, whose release is confirmed:
        /// the segment that is written, the spare, images in use or cold or just replaced, and some
        /// small files.
        private func bytesAtRest() throws -> Int {
            let images = 4 + FixedLimits.coldImages
            return try 2 * FixedLimits.lastSegmentBytes
                + images * Products.bytes("stamp").count + 64 << 10
        }

        @Test("500 upgrades under load: memory, descriptors and disk flat, no zombie, two hosts")
        func manyUpgrades() throws {
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")], configuration: "probation: 50ms")
            let bytesAtRest = try bytesAtRest()
            let clients = try (0..<8).map { _ in
                // A label has four digits: beyond 9999 it begins anew.
                try PipelinedClient(
                    StampTalk(versionsMayGoBack: Self.upgrades > 9998),
                    path: daemon.runtime.serviceSocket("stamp"), window: 256)
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
                try Crowd(clients).work { upgrades.isOver && logged > 2 * bytesAtRest }
                try upgrades.value()
            }
            // At least so much has gone through the log, and more than there may be left of it.
            var logged: Int {
                clients.map(\.received).reduce(0, +) * Record.size(payload: 1)
            }
            try leg(2...51)
            let before = try Footprint(daemon)
            try leg(52...Self.upgrades + 1)
            let after = try Footprint(daemon)
            print("after 50 upgrades \(before); after \(Self.upgrades) \(after)")

            #expect(after.kibibytes <= before.kibibytes * 12 / 10 + 4096)
            #expect(after.descriptors <= before.descriptors + 4)
            #expect(ProcessTable.zombies(of: daemon.pid).isEmpty)
            // While upgrades follow one another within the probation, the log is kept for a rollback:
            // how much that is depends on the machine's speed. Once confirmed, nothing needs it.
            try control.change(.confirm, "stamp")
            try wait(for: "a disk of at most \(bytesAtRest) bytes, not \(after.diskBytes)") {
                try Footprint(daemon).diskBytes <= bytesAtRest
            }
            // A purged host ends by itself, and nobody waits for it.
            try wait(for: "the end of the purged host") {
                ProcessTable.children(of: daemon.pid).count <= 2
            }
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            let total = clients.map(\.received).reduce(0, +)
            let last = Stamp.label(Self.upgrades + 1)
            #expect(try daemon.call("stamp", "count") == "\(last) count=\(total)")
            #expect(try daemon.status("stamp").upgrades == Self.upgrades)
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
