// `baton reload`, `baton upgrade`: new code for running services. Runs in baton.

import ArgumentParser
import BatonClient
import Glibc

/// How long to wait for verdicts.
struct UpgradePatience: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How long to wait for the verdict; the upgrade itself goes on.", valueName: "seconds"))
    var timeout = Seconds(120)
}

struct Reload: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Upgrade every service whose file has changed.",
        discussion: """
            Waits until each has its verdict and prints them; a refused one goes to standard \
            error with its reason, leaves its service as it was, and makes the exit status 1. \
            SIGHUP to batond does the same without waiting.

            Example:
              install -m 755 ping.so /usr/lib/baton/plugins/ping.so
              baton reload
            """)

    @OptionGroup var patience: UpgradePatience
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.reload(patience: patience.timeout.duration)
        let verdicts = try report.decoded()
        if json.isSet {
            Output.line(report.json)
            return verdicts.map(\.exitStatus).contains(.refused) ? .refused : .done
        }
        if verdicts.isEmpty { Output.line("nothing to do: no service's file has changed") }
        return VerdictLine.print(verdicts)
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

            Example:
              baton upgrade ping --image ./build/ping-2.so
            """)

    @Argument(help: "The service.")
    var service: String
    @Option(
        help: ArgumentHelp("The image to load instead of the service's file.", valueName: "file"),
        completion: .file(extensions: ["so"]))
    var image: String?
    @Flag(help: "End a version that does not finish the message in hand; the new one gets it.")
    var force = false
    @OptionGroup var patience: UpgradePatience
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func validate() throws {
        if image?.isEmpty == true { throw ValidationError("--image is empty: name a file") }
    }

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.upgrade(
            service, image: image.map(Self.absolute), force: force,
            patience: patience.timeout.duration)
        let verdict = try report.decoded()
        guard json.isSet else { return VerdictLine.print([verdict]) }
        Output.line(report.json)
        return verdict.exitStatus
    }

    /// The daemon has another working directory.
    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = unsafe getcwd(nil, 0) else { return path }
        defer { unsafe free(directory) }
        return unsafe "\(String(cString: directory))/\(path)"
    }
}
