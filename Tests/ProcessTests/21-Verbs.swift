// The verbs that change versions, as an operator types them: what they print, and their exit statuses.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("21 Verbs") struct Verbs {
        let daemon: TestDaemon
        let second: String

        init() throws {
            daemon = try TestDaemon()
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            second = try Trial.second.file(in: daemon.directory)
            #expect(try daemon.call("trial", "sum 5") == "5")
        }

        private func verdict(_ output: Tool.Output) throws -> ServiceVerdict {
            try Report<ServiceVerdict>(json: Array(output.output.utf8)).decoded()
        }

        @Test("A new version is on probation until it is confirmed by hand")
        func confirm() throws {
            let upgrade = try daemon.baton("upgrade", "trial", "--image", second)
            #expect(upgrade.exit == .code(0), "\(upgrade.error)")
            #expect(upgrade.output.hasPrefix("trial  1 -> 2  upgraded, paused "))
            #expect(upgrade.output.hasSuffix(", on probation\n"), "\(upgrade.output)")
            let provisional = try daemon.status("trial")
            #expect(provisional.release == "provisional" && provisional.confirmedVersion == "1")
            #expect(try #require(provisional.probationMillisecondsLeft) > 0)
            #expect(try daemon.baton("confirm", "trial").output == "trial  confirmed\n")
            let confirmed = try daemon.status("trial")
            #expect(confirmed.release == "confirmed" && confirmed.confirmedVersion == "2")
            #expect(confirmed.probationMillisecondsLeft == nil)
            #expect(try daemon.baton("confirm", "trial").exit == .code(0))
        }

        @Test("rollback goes to the version before with all that was answered, and exits with 0")
        func rollback() throws {
            _ = try daemon.upgrade("trial", to: second)
            #expect(try daemon.call("trial", "sum 37") == "42")
            let rollback = try daemon.baton("rollback", "trial")
            #expect(rollback.exit == .code(0), "\(rollback.error)")
            #expect(rollback.output.hasPrefix("trial  2 -> 1  rolled back, paused "))
            #expect(try daemon.call("trial", "version") == "1")
            #expect(try daemon.call("trial", "sum") == "42")
            let versions = try daemon.baton("versions", "trial")
            #expect(versions.output.contains("rollback by hand"), "\(versions.output)")
        }

        @Test("rollback without a version before is refused, with what to do")
        func nothingBefore() throws {
            let rollback = try daemon.baton("rollback", "trial")
            #expect(rollback.exit == .code(1))
            #expect(rollback.error.contains("no version before 1"), "\(rollback.error)")
            #expect(rollback.output.isEmpty)
            let json = try daemon.baton("rollback", "trial", "--json")
            #expect(json.exit == .code(1))
            #expect(try verdict(json).verdict == .refused)
        }

        @Test("upgrade --wait tells of the confirmation, and of a version that crashed meanwhile")
        func waits() throws {
            let daemon = try TestDaemon(configuration: "probation: 300ms\n")
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            let good = try daemon.baton(
                "upgrade", "trial", "--image", second, "--wait", "--json")
            #expect(good.exit == .code(0), "\(good.error)")
            let confirmed = try verdict(good)
            #expect(confirmed.verdict == .upgraded && confirmed.release == "confirmed")
            let other = Trial(version: "3", writes: 2, takes: 1...2)
            let third = try other.file(in: daemon.directory)
            let waiting = Background { [path = daemon.runtime.path] in
                let bad = try Tool.baton(
                    "upgrade", "trial", "--image", third, "--wait", runtime: path)
                return (bad.exit == .code(1), bad.error)
            }
            try wait(for: "the new version") { try daemon.status("trial").version == "3" }
            #expect(try daemon.call("trial", "die 3") == "alive")
            let (isRefused, error) = try waiting.value()
            #expect(isRefused)
            #expect(error.hasPrefix("trial  2 -> 3  rolled back, paused "), "\(error)")
            #expect(try daemon.call("trial", "version") == "2")
        }

        @Test("A dry run says what would be done, and does nothing")
        func dryRun() throws {
            let upgrade = try daemon.baton("upgrade", "trial", "--image", second, "--dry-run")
            #expect(upgrade.exit == .code(0), "\(upgrade.error)")
            #expect(upgrade.output == "trial  1 -> 2  would be upgraded\n")
            try daemon.install(try Trial.second.image(), as: "trial")
            try daemon.install(try Trial.first.image(), as: "other")
            let reload = try daemon.baton("reload", "--dry-run", "--json")
            #expect(reload.exit == .code(0), "\(reload.error)")
            let verdicts = try Report<[ServiceVerdict]>(json: Array(reload.output.utf8)).decoded()
            #expect(verdicts.map(\.service) == ["other", "trial"])
            #expect(verdicts.map(\.verdict) == [.wouldStart, .wouldUpgrade])
            try daemon.install(Data("no image".utf8), as: "trial")
            #expect(try daemon.baton("reload", "--dry-run").exit == .code(1))
            #expect(try daemon.status("trial").version == "1")
            #expect(try daemon.client.status().decoded().services.map(\.name) == ["trial"])
        }

        @Test("A rehearsal is told with the verdict, and one that fails is a refusal")
        func rehearsal() throws {
            for number in 1...10 { _ = try daemon.call("trial", "sum \(number)") }
            let other = try Trial.second("differ").file(in: daemon.directory)
            _ = try daemon.call("trial", "sum")
            let bad = try daemon.baton("upgrade", "trial", "--image", other, "--rehearse", "5")
            #expect(bad.exit == .code(1))
            #expect(bad.error.contains("rehears"), "\(bad.error)")
            let good = try daemon.baton(
                "upgrade", "trial", "--image", second, "--rehearse", "5", "--json")
            #expect(good.exit == .code(0), "\(good.error)")
            let rehearsed = try verdict(good)
            #expect(rehearsed.rehearsed == 5 && rehearsed.differences == 0)
        }

        @Test("What is typed wrongly is usage, and named")
        func usage() throws {
            for (arguments, word) in [
                (["upgrade", "trial", "--allow", "1"], "--rehearse"),
                (["upgrade", "trial", "--rehearse", "-1"], "--rehearse"),
                (["events", "--count", "0"], "--count"), (["rollback"], "service"),
                (["confirm"], "service"), (["explain"], "service"),
            ] {
                let output = try Tool.run(
                    Products.program("baton"), arguments,
                    environment: ["BATON_RUNTIME": daemon.runtime.path])
                #expect(output.exit == .code(64), "\(arguments)")
                #expect(output.error.contains(word), "\(output.error)")
            }
            for verb in ["rollback", "confirm", "explain", "mailbox", "versions"] {
                #expect(try daemon.baton(verb, "nobody").exit == .code(4), "\(verb)")
                let help = try daemon.baton(verb, "--help")
                #expect(help.exit == .code(0) && help.output.contains("Example:"), "\(verb)")
            }
        }
    }
}
