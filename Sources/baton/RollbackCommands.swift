// `baton rollback`, `baton confirm`: what becomes of a new version. Runs in baton.

import ArgumentParser
import BatonClient

struct Rollback: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Go back to the version before.",
        discussion: """
            The old version takes the state as it was when it handed over, handles again what was \
            settled since (those replies have been given and are discarded), and goes on with \
            what waits: nothing that was answered is forgotten. Where it declares that it can \
            take the newer state, it takes that instead. A crash within probation does this by \
            itself. A second rollback goes forward again: the version before is then the one that \
            was left.

            The exit status is 0 if it was rolled back, and 1 if not: the reason is on standard \
            error then, and the current version carries on.

            Example:
              baton rollback counter
            """)

    @Argument(help: "The service.")
    var service: String
    @Flag(help: "End a version that does not finish the message in hand; the old one gets it.")
    var force = false
    @OptionGroup var patience: UpgradePatience
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.rollback(
            service, force: force, patience: patience.duration())
        let verdict = try report.decoded()
        if json.isSet {
            Output.line(report.json)
        } else {
            VerdictLine.print([verdict], isGood: { $0.verdict == .rolledBack })
        }
        return verdict.verdict == .rolledBack ? .done : .refused
    }
}

struct Confirm: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep the new version: end its probation.",
        discussion: """
            A new version is provisional for the time of its probation: if it crashes, Baton goes \
            back to the confirmed one, and so does a reboot. Confirming ends that now.

            Example:
              baton upgrade counter
              baton confirm counter
            """)

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        try daemon.change(.confirm, service)
        Output.line(
            json.isSet
                ? "{\"service\":\"\(service)\",\"release\":\"confirmed\"}"
                : "\(service)  confirmed")
        return .done
    }
}
