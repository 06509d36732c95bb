// `baton reload`, `baton upgrade`: new code for running services. Runs in baton.

import ArgumentParser
import BatonClient
import Glibc

/// How long to wait for verdicts.
struct UpgradePatience: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How long to wait for the verdict; the upgrade itself goes on.",
            discussion: "Without it: 120 seconds, and a day with --wait.", valueName: "seconds"))
    var timeout: Seconds?

    /// - Parameter waits: for the end of the probation, which may be as long as somebody has said.
    func duration(waits: Bool = false) -> Duration {
        timeout?.duration ?? Seconds(waits ? 86_400 : 120).duration
    }
}

/// What `reload` and `upgrade` have in common.
struct UpgradeManner: ParsableArguments {
    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false
    @Flag(help: "Wait until the release is confirmed or rolled back, not only for the switch.")
    var wait = false
}

struct Reload: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take the configuration and the plugin directory as they are now.",
        discussion: """
            Reads the configuration file again, starts services whose file is new, upgrades those \
            whose file has changed, and ends those whose file is gone; their mailboxes are kept. \
            Waits until each has its verdict and prints them; a refused one goes to standard \
            error with its reason, leaves its service as it was, and makes the exit status 1. \
            SIGHUP to batond does the same without waiting.

            With --wait the verdict is that of the probation: it comes when each new version is \
            confirmed, or has crashed and was rolled back (exit status 1).

            Example:
              install -m 755 ping.so /usr/lib/baton/plugins/ping.so
              baton reload --dry-run
              baton reload
            """)

    @OptionGroup var manner: UpgradeManner
    @OptionGroup var patience: UpgradePatience
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.reload(
            dryRun: manner.dryRun, wait: manner.wait,
            patience: patience.duration(waits: manner.wait))
        let verdicts = try report.decoded()
        if json.isSet {
            Output.line(report.json)
        } else {
            if verdicts.isEmpty { Output.line("nothing to do: no service's file has changed") }
            VerdictLine.print(verdicts)
        }
        return verdicts.exitStatus
    }
}

struct Upgrade: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Upgrade one service.",
        discussion: """
            Takes the service's file in the plugin directory, or the one that --image names. The \
            new version is loaded and checked beside the running one; only then is the service \
            suspended, its state handed over, and the next message given to the new version. If \
            any of this fails, the running version carries on and the exit status is 1.

            With --rehearse the new version first handles the last messages again in the shadow, \
            with a copy of the state; its replies are compared with those that were given, and \
            it is refused if more than --allow of them differ. Nothing of that takes effect.

            With --wait the verdict is that of the probation: it comes when the new version is \
            confirmed, or has crashed and was rolled back (exit status 1).

            Example:
              baton upgrade ping --image ./build/ping-2.so
              baton upgrade counter --rehearse 1000 --wait
            """)

    @Argument(help: "The service.")
    var service: String
    @Option(
        help: ArgumentHelp("The image to load instead of the service's file.", valueName: "file"),
        completion: .file(extensions: ["so"]))
    var image: String?
    @Flag(help: "End a version that does not finish the message in hand; the new one gets it.")
    var force = false
    @Option(
        help: ArgumentHelp(
            "Try the new version on so many settled messages first.",
            discussion: "Without it: as many as the configuration says. 0 is none.",
            valueName: "messages"))
    var rehearse: Int?
    @Option(
        help: ArgumentHelp(
            "So many replies may differ in the rehearsal.", valueName: "replies"))
    var allow: Int?
    @OptionGroup var manner: UpgradeManner
    @OptionGroup var patience: UpgradePatience
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func validate() throws {
        if image?.isEmpty == true { throw ValidationError("--image is empty: name a file") }
        if let rehearse, rehearse < 0 {
            throw ValidationError("--rehearse takes a number of messages")
        }
        if let allow, allow < 0 { throw ValidationError("--allow takes a number of replies") }
        if allow != nil, rehearse == nil {
            throw ValidationError("--allow goes with --rehearse: say of how many messages")
        }
    }

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.upgrade(
            service, image: image.map(Self.absolute), force: force, rehearse: rehearse,
            allow: allow, dryRun: manner.dryRun, wait: manner.wait,
            patience: patience.duration(waits: manner.wait))
        let verdict = try report.decoded()
        if json.isSet { Output.line(report.json) } else { VerdictLine.print([verdict]) }
        return verdict.exitStatus
    }

    /// The daemon has another working directory.
    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = unsafe getcwd(nil, 0) else { return path }
        defer { unsafe free(directory) }
        return unsafe "\(String(cString: directory))/\(path)"
    }
}
