// `baton explain`: what a service is doing, and what it waits for. Runs in baton.

import ArgumentParser
import BatonClient

struct Explain: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what a service is doing now, what it waits for, and since when.",
        discussion: """
            For a service that does not answer: which message is in hand and for how long, which \
            phase of an upgrade it is in, when its host is started again, and what to do next.

            Example:
              baton explain counter
            """)

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.explain(service)
        if json.isSet {
            Output.line(report.json)
            return .done
        }
        let explanation = try report.decoded()
        var list = FactList(title: explanation.service)
        list.add("state", explanation.state.rawValue, explanation.state.style)
        list.add("doing", explanation.doing)
        if let waitsFor = explanation.waitsFor { list.add("waits for", waitsFor) }
        if let message = explanation.message { list.add("message", "\(message)") }
        if let since = explanation.sinceMicroseconds {
            list.add("since", Quantity.microseconds(since))
        }
        for line in list.lines(colour: Output.hasColour) + explanation.lines.map({ "  \($0)" }) {
            Output.line(line)
        }
        return .done
    }
}
