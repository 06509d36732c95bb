// DaemonCommand: what all verbs have in common. Runs in baton.

import ArgumentParser
import BatonClient
import Glibc

/// A verb that asks the daemon something.
protocol DaemonCommand: ParsableCommand {
    var place: DaemonPlace { get }
    /// Asks, prints the answer, and says what to exit with.
    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit
}

extension DaemonCommand {
    func run() throws {
        let status: CommandExit
        do {
            status = try run(place.daemon)
        } catch {
            Output.complain("\(error)")
            status = error.exitStatus
        }
        if status != .done { throw ExitCode(status.rawValue) }
    }
}

/// Which daemon.
struct DaemonPlace: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's runtime directory.",
            discussion: "Without it: BATON_RUNTIME, then the default place.",
            valueName: "directory"),
        completion: .directory)
    var runtime: String?

    var daemon: Daemon {
        Daemon(
            runtime: RuntimeDirectory(
                asked: runtime, environment: Environment.variables, userID: getuid()))
    }

    func validate() throws {
        if runtime?.isEmpty == true {
            throw ValidationError("--runtime is empty: name the directory with baton.sock in it")
        }
    }
}

struct JSONFlag: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print the answer as JSON, for programs.")
    var isSet = false
}

/// The length of time of an option, in seconds.
struct Seconds: ExpressibleByArgument {
    let duration: Duration

    init(_ seconds: Int) {
        duration = .seconds(seconds)
    }

    /// `10` or `0.5`; more than nothing, and at most a day.
    init?(argument: String) {
        guard let seconds = Double(argument), seconds >= 0.001, seconds <= 86_400 else {
            return nil
        }
        duration = .milliseconds(Int((seconds * 1000).rounded()))
    }

    var defaultValueDescription: String { "\(duration.components.seconds)" }
}
