// The machine's clock jumps by ten years, forth and back: what was promised for a time comes at its time,
// and nothing is lost or taken twice.

import BatonClient
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("53 Clock jumps") struct ClockJumps {
        /// From the package libfaketime: lets a process see another wall clock.
        private static let library = FileManager.default.enumerator(atPath: "/usr/lib")?
            .compactMap { $0 as? String }
            .first { $0.hasSuffix("faketime/libfaketimeMT.so.1") }.map { "/usr/lib/\($0)" }

        @Test(
            "Deadlines, upgrades, probation and order do not notice when the clock jumps",
            .enabled(
                if: library != nil && !Products.areSanitized,
                "needs libfaketime, which a sanitizer does not bear"))
        func jumps() throws {
            let daemon = try TestDaemon(
                plugins: "counter", "faulty", configuration: "probation: 1h\n")
            try daemon.stop()
            // What is preloaded takes a program's arguments from Swift: it goes by its environment.
            try daemon.configure("plugins: \(daemon.plugins)\nprobation: 1h\n")
            let clock = try daemon.directory.write(Data("+0\n".utf8), "clock")
            daemon.prefix = [
                "/usr/bin/env", "LD_PRELOAD=\(Self.library ?? "")",
                "FAKETIME_TIMESTAMP_FILE=\(clock)", "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1",
                "CONFIGURATION_DIRECTORY=\(daemon.directory.path)",
                "STATE_DIRECTORY=\(daemon.state)", "RUNTIME_DIRECTORY=\(daemon.runtime.path)",
            ]
            try daemon.start()
            let patient = try LineClient(path: daemon.runtime.messageSocket)
            let hasty = try LineClient(path: daemon.runtime.messageSocket)
            let counting = try daemon.lines("counter")
            var sum = 0
            for days in [3650, -3650, 0] {
                try patient.send("CALL faulty \"sleep 1000\" TIMEOUT 60000\r\n")
                try hasty.send("CALL faulty \"sleep 1000\" TIMEOUT 500\r\n")
                sum += 1
                #expect(try counting.ask("1") == "\(sum)")
                try daemon.directory.write(Data("\(days < 0 ? "" : "+")\(days)d\n".utf8), "clock")
                sum += 1
                #expect(try counting.ask("1") == "\(sum)")
                // Neither at once nor never.
                #expect(try hasty.line()?.hasPrefix("-TIMEOUT ") == true)
                #expect(try patient.lines(2) == ["$5\r", "slept\r"])
                // A host that dies is started again.
                let host = try #require(try daemon.status("counter").pid)
                _ = kill(pid_t(host), SIGKILL)
                sum += 1
                #expect(try counting.ask("1") == "\(sum)")
            }
            // Batond has really seen the other clock; probation has not.
            try daemon.directory.write(Data("+3650d\n".utf8), "clock")
            let upgrade = try daemon.upgrade("counter", to: Products.image("counter-2"))
            #expect(upgrade.verdict == .upgraded)
            let year = Date(timeIntervalSinceNow: 3650 * 86_400).ISO8601Format().prefix(4)
            let versions = try daemon.baton("versions", "counter", "--json")
            #expect(versions.output.contains("\"\(year)-"), "\(versions.output)")
            try daemon.directory.write(Data("-3650d\n".utf8), "clock")
            #expect(try daemon.status("counter").release == "provisional")
            #expect(try daemon.client.rollback("counter").decoded().verdict == .rolledBack)
            // And the next batond, in another year, goes on with all of it.
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("counter", "0") == "\(sum)")
        }
    }
}
