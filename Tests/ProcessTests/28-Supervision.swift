// What follows from a host's end: restart types as in OTP.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("28 Supervision") struct Supervision {
        /// What ends the host of a service of each type, and whether it is started again.
        @Test(
            "Permanent, transient and temporary services are started again as OTP says",
            arguments: [
                ("permanent", "exit", true), ("permanent", "crash", true),
                ("transient", "exit", false), ("transient", "crash", true),
                ("temporary", "exit", false), ("temporary", "crash", false),
            ])
        func types(type: String, end: String, isRestarted: Bool) throws {
            let daemon = try TestDaemon(
                plugins: "faulty",
                configuration: "services: { faulty: { restart: \(type), probation: 0s } }\n")
            #expect(try daemon.call("faulty", "one") == "one")
            let client = try daemon.lines("faulty")
            try client.send("\(end)\n")
            if isRestarted {
                #expect(try client.line()?.hasPrefix("-POISON") == true)
                #expect(try daemon.status("faulty").restarts == 3)
            } else {
                try wait(for: "the stop") { try daemon.status("faulty").state == .stopped }
                let reason = try daemon.status("faulty").reason ?? ""
                #expect(reason.contains(type) && reason.contains("'baton resume'"), "\(reason)")
                // It accepts all the same, and goes on when it is told to.
                #expect(try daemon.client.send("faulty", Array("kept".utf8)) == 3)
                for _ in 1...2 {
                    try daemon.client.change(.resume, "faulty")
                    try wait(for: "the stop") { try daemon.status("faulty").state == .stopped }
                }
                try daemon.client.change(.resume, "faulty")
                #expect(try client.line()?.hasPrefix("-POISON") == true)
            }
            #expect(try daemon.call("faulty", "version") == "1")
        }

        @Test("resume starts no old version beside a candidate that takes over from a stopped one")
        func resumeInUpgrade() throws {
            let daemon = try TestDaemon(
                Trial.first,
                configuration: "services: { trial: { restart: temporary, probation: 0s } }\n")
            let client = try daemon.lines("trial")
            #expect(try client.ask("sum 1") == "1")
            // It is stopped late in prepare, with another state than prepare began with: so the new
            // version is started a second time, in load.
            let image = try Trial.second("migration-late 2000").file(in: daemon.directory)
            let control = daemon.client
            let upgrade = Background { try control.upgrade("trial", image: image).decoded() }
            try wait(for: "prepare") { try daemon.trial().phase == "prepare" }
            for sum in 2...50 {
                #expect(try client.ask("sum 1 20") == "\(sum)")
            }
            try client.send("die 1\n")
            try wait(for: "load") { try daemon.trial().phase == "load" }
            #expect {
                try control.change(.resume, "trial")
            } throws: { error in
                guard case .refused("BUSY", let text) = error as? ClientError else { return false }
                return text.contains("upgrade of trial")
            }
            #expect(ProcessTable.children(of: daemon.pid).count == 1)
            #expect(try upgrade.value().verdict == .upgraded)
            #expect(ProcessTable.children(of: daemon.pid).count == 1)
            #expect(try client.line() == "alive")
            #expect(try daemon.call("trial", "sum") == "50")
            #expect(try daemon.call("trial", "version") == "2")
        }
    }
}
