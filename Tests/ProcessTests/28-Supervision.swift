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
    }
}
