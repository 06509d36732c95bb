// `baton status`: what runs. Runs in baton.

import ArgumentParser
import BatonClient

struct Status: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the services, or one of them closely.",
        discussion: """
            Without a service, one line for each: its state, the version that handles messages, \
            the process, messages waiting and settled since the mailbox was made, upgrades since \
            the daemon started, and the pause of the last one. Remarks go to standard error.

            With a service, all there is to tell about it; the exit status is 3 if it is stopped \
            or quarantined.

            Example:
              baton status
              baton status ping --json
            """)

    @Argument(help: "The service to show closely.")
    var service: String?
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        if let service {
            return try show(try daemon.status(service))
        }
        let report = try daemon.status()
        if json.isSet {
            Output.line(report.json)
            return .done
        }
        let status = try report.decoded()
        for line in ServiceTable.table(status.services).lines(colour: Output.hasColour) {
            Output.line(line)
        }
        for remark in ServiceTable.remarks(status) { Output.remark(remark) }
        return .done
    }

    private func show(_ report: Report<ServiceStatus>) throws(ClientError) -> CommandExit {
        let status = try report.decoded()
        if json.isSet {
            Output.line(report.json)
        } else {
            for line in ServiceDetail.lines(status, colour: Output.hasColour) { Output.line(line) }
        }
        return status.state.isDown ? .serviceNotRunning : .done
    }
}
