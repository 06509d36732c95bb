// The machine is booted anew, before a release is confirmed and after it; or only batond is.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("45 Reboot") struct Reboot {
        private static let long = "probation: 60s\n"

        /// Two versions with answered messages between: the sum 42, of 3.
        private func provisional(
            _ first: Trial = .first, _ configuration: String = long
        ) throws -> TestDaemon {
            let daemon = try TestDaemon(first, configuration: configuration)
            #expect(try daemon.call("trial", "sum 40") == "40")
            #expect(try daemon.upgrade(to: .second).verdict == .upgraded)
            #expect(try daemon.call("trial", "sum 1") == "41")
            #expect(try daemon.call("trial", "sum 1") == "42")
            return daemon
        }

        /// The power goes, and comes back.
        private func reboot(_ daemon: TestDaemon, orderly: Bool = false) throws {
            if orderly { try daemon.stop() } else { try daemon.killHard() }
            daemon.bootID = String(daemon.bootID.map { $0 == "b" ? "c" : "b" })
            try daemon.start()
        }

        @Test(
            "Before the release is confirmed: the confirmed one boots, with all that was answered",
            arguments: [Trial.first, .firstTakesBoth], [true, false])
        func before(first: Trial, orderly: Bool) throws {
            let daemon = try provisional(first)
            // What waits is handled by the confirmed one alone.
            try daemon.client.change(.suspend, "trial")
            for _ in 1...3 { _ = try daemon.client.send("trial", Array("die 2".utf8)) }
            try reboot(daemon, orderly: orderly)
            #expect(try daemon.call("trial", "version") == "1")
            #expect(try daemon.call("trial", "sum") == "42")
            #expect(try daemon.call("trial", "count") == "3")
            let status = try daemon.trial()
            #expect(status.release == "confirmed" && status.restarts == 0)
            #expect(status.deadLetters == 0)
            let verdict = try #require(status.lastUpgrade)
            #expect(verdict.verdict == .rolledBack && verdict.from == "2" && verdict.to == "1")
            #expect(verdict.reason?.contains("booted before 2 was confirmed") == true)
            #expect(
                status.images.first { $0.role == "current" }?.cause
                    == "reboot before it was confirmed")
            // And it stays so.
            try reboot(daemon)
            #expect(try daemon.call("trial", "sum 1") == "43")
            #expect(try daemon.call("trial", "version") == "1")
        }

        @Test(
            "After it was confirmed, by hand or by its probation: it boots",
            arguments: [true, false])
        func after(byHand: Bool) throws {
            let daemon = try provisional(
                .first, byHand ? Self.long : "probation: 200ms\n")
            if byHand { try daemon.client.change(.confirm, "trial") }
            try wait(for: "the confirmation") { try daemon.trial().release == "confirmed" }
            try reboot(daemon)
            #expect(try daemon.call("trial", "version") == "2")
            #expect(try daemon.call("trial", "sum 1") == "43")
            #expect(try daemon.trial().release == "confirmed")
        }

        @Test(
            "The same boot: the provisional release goes on, on trial still; a crash rolls it back")
        func sameBoot() throws {
            let daemon = try provisional()
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("trial", "version") == "2")
            #expect(try daemon.call("trial", "sum 1") == "43")
            let status = try daemon.trial()
            #expect(status.release == "provisional" && status.confirmedVersion == "1")
            #expect(status.probationMillisecondsLeft != nil)
            // No host of the old version is warm: another replays all since the switch.
            #expect(try daemon.call("trial", "die 2") == "alive")
            #expect(try daemon.call("trial", "version") == "1")
            #expect(try daemon.call("trial", "sum 1") == "44")
            #expect(try daemon.call("trial", "count") == "5")
        }

        @Test("Its probation begins anew with batond, and ends")
        func probationAgain() throws {
            let daemon = try provisional(.first, "probation: 700ms\n")
            try daemon.killHard()
            try daemon.start()
            try wait(for: "the confirmation") { try daemon.trial().release == "confirmed" }
            #expect(try daemon.call("trial", "version") == "2")
        }

        @Test(
            "The confirmed release's image is lost: the provisional one goes on, and its trial",
            arguments: [true, false])
        func lostImage(damaged: Bool) throws {
            let daemon = try provisional(.first, "probation: 3s\n")
            let digest = try #require(try daemon.trial().confirmedDigest)
            try daemon.killHard()
            let image = "\(daemon.state)/images/\(digest).so"
            #expect(FileManager.default.fileExists(atPath: image))
            if damaged {
                try FileManager.default.removeItem(atPath: image)
                try Data("no image".utf8).write(to: URL(filePath: image))
            } else {
                try FileManager.default.removeItem(atPath: image)
            }
            // Nor has the plugin directory it.
            try daemon.install(Trial.second.image(), as: "trial")
            daemon.bootID = String(repeating: "c", count: 32)
            try daemon.start()
            #expect(try daemon.call("trial", "version") == "2")
            #expect(try daemon.call("trial", "sum 1") == "43")
            let verdict = try #require(try daemon.trial().lastUpgrade)
            #expect(verdict.verdict == .refused)
            #expect(verdict.reason?.contains("image store") == true, "\(verdict)")
            // A crash does not look for it again.
            try daemon.killCurrent()
            #expect(try daemon.call("trial", "sum 1") == "44")
            #expect(try daemon.call("trial", "version") == "2")
            try wait(for: "the confirmation") { try daemon.trial().release == "confirmed" }
        }

        @Test("The confirmed release cannot handle again what was: the provisional one goes on")
        func refused() throws {
            // It handles one message before the upgrade, and then two again.
            let daemon = try provisional(Trial(plan: "crash-at 2"))
            try reboot(daemon)
            #expect(try daemon.call("trial", "version") == "2")
            #expect(try daemon.call("trial", "sum 1") == "43")
            let status = try daemon.trial()
            #expect(status.release == "provisional" && status.restarts == 0)
            #expect(status.probationMillisecondsLeft != nil)
            let verdict = try #require(status.lastUpgrade)
            #expect(verdict.verdict == .refused)
            #expect(verdict.reason?.contains("signal 11") == true, "\(verdict)")
        }

        @Test("Several services: each has its own release, and its own way back")
        func several() throws {
            let daemon = try TestDaemon(
                configuration: "probation: 60s\nservices: {two: {probation: 0s}}\n")
            let names = ["one", "two", "three"]
            for name in names { try daemon.install(Trial.first.image(), as: name) }
            _ = try daemon.client.reload()
            for name in names { #expect(try daemon.call(name, "sum 40") == "40") }
            for name in names.prefix(2) { try daemon.install(Trial.second.image(), as: name) }
            _ = try daemon.client.reload()
            for name in names { #expect(try daemon.call(name, "sum 2") == "42") }
            try reboot(daemon)
            for (name, version) in zip(names, ["1", "2", "1"]) {
                #expect(try daemon.call(name, "version") == version)
                #expect(try daemon.call(name, "sum") == "42")
            }
        }
    }
}
