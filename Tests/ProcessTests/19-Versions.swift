// The images a service has, as STATUS and `baton versions` tell them, and which of them stay.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("19 Versions") struct VersionsShown {
        let daemon: TestDaemon

        init() throws {
            daemon = try TestDaemon()
            _ = try daemon.reload(Stamp.image(1), as: "stamp")
        }

        private func upgrade(to versions: ClosedRange<Int>) throws {
            for version in versions {
                #expect(try daemon.reload(Stamp.image(version), as: "stamp").verdict == .upgraded)
            }
        }

        private var stored: Set<String> {
            get throws {
                let names = try FileManager.default.contentsOfDirectory(
                    atPath: "\(daemon.state)/images")
                return Set(names.filter { $0.hasSuffix(".so") })
            }
        }

        @Test(
            "Current, old and the last cold ones are told, each with its version, the newest first")
        func roles() throws {
            try upgrade(to: 2...8)
            let images = try daemon.status("stamp").images
            let shown = images.map { "\($0.role) \($0.version ?? "")" }
            #expect(
                shown.filter { !$0.hasPrefix("confirmed") } == [
                    "current 0008", "old 0007", "cold 0006", "cold 0005", "cold 0004", "cold 0003",
                ])
            #expect(images.allSatisfy { $0.cause == "upgrade" }, "\(images)")
            #expect(Set(images.map(\.digest)).count >= 6)
            let table = try daemon.baton("versions", "stamp")
            #expect(table.exit == .code(0), "\(table.error)")
            #expect(table.lines.count == Set(images.map(\.digest)).count + 1)
            #expect(table.lines.first?.hasPrefix("ROLE") == true)
        }

        @Test("Every image that is told is in the image store, and the store stays small")
        func pruned() throws {
            for versions in [2...5, 6...12] {
                try upgrade(to: versions)
                let told = try daemon.status("stamp").images.map { "\($0.digest).so" }
                let stored = try stored
                #expect(stored.isSuperset(of: told))
                #expect(stored.count <= 8, "\(stored)")
            }
            // An image that many services use goes with the last of them.
            try daemon.install(Stamp.image(12), as: "other")
            _ = try daemon.client.reload()
            try upgrade(to: 13...20)
            let digest = try #require(try daemon.status("other").digest)
            #expect(try stored.contains("\(digest).so"))
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("other", "x") == "0012 x")
            #expect(try daemon.call("stamp", "x") == "0020 x")
        }

        @Test("A cold image can be upgraded to again by its place in the image store")
        func coldAgain() throws {
            try upgrade(to: 2...4)
            let images = try daemon.status("stamp").images
            let cold = try #require(images.first { $0.role == "cold" })
            let path = "\(daemon.state)/images/\(cold.digest).so"
            #expect(try daemon.upgrade("stamp", to: path).to == cold.version)
        }
    }
}
