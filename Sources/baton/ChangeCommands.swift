// `baton suspend`, `baton resume`, `baton purge`: a service by hand. Runs in baton.

import ArgumentParser
import BatonClient

struct Suspend: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a service finish the message in hand, then keep the others waiting.",
        discussion: """
            Messages are accepted and kept meanwhile; 'baton resume' goes on with the first.

            Example:
              baton suspend counter
            """)

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        try daemon.change(.suspend, service)
        Output.line("\(service)  suspended")
        return .done
    }
}

struct Resume: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a suspended service handle messages again.",
        discussion: """
            Example:
              baton resume counter
            """)

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        try daemon.change(.resume, service)
        Output.line("\(service)  resumed")
        return .done
    }
}

struct Purge: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the old version that is kept warm after an upgrade.",
        discussion: """
            This gives its memory back. It concerns code and never messages.

            Example:
              baton purge counter
            """)

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        try daemon.change(.purge, service)
        Output.line("\(service)  old version purged")
        return .done
    }
}
