// Baton under a real systemd: Tests/systemd/boot boots one on an overlay of /, installs this build
// into it, and runs Tests/systemd/inside there. Each step of that script that is not ok is an issue.

import Glibc
import Testing

@Suite("A real systemd")
struct BootTests {
    @Test(
        "It starts, reloads, watches and stops batond, and the journal tells of it",
        .enabled(
            if: unsafe getenv("BATON_SANITIZER") == nil, "what is installed has no sanitizer"))
    func batondUnderSystemd() throws {
        var report = TAPReport()
        let exitStatus = try BootedSystemd.run { line in
            print(line)
            report.read(line)
        }
        if exitStatus == BootedSystemd.skipped {
            try Test.cancel(Comment(rawValue: report.skipReason ?? "no systemd can be booted here"))
        }
        for failure in report.failures { Issue.record(Comment(rawValue: failure)) }
        let isComplete = report.isComplete
        #expect(isComplete, "the script ended after \(report.steps) steps, not where it should")
        #expect(exitStatus == 0)
    }
}
