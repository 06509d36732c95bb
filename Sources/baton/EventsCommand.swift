// `baton events`: what happens, as it happens. Runs in baton.

import ArgumentParser
import BatonClient
import Glibc

struct Events: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what happens to the services, an event a line, as it happens.",
        discussion: """
            Phases of upgrades, verdicts, hosts that end and are started again, dead letters. A \
            line has the time (UTC), the service, the event, and what there is of: versions, the \
            message, the process, the cause, how long it took. It ends when it is interrupted \
            (exit status 0), after --count events, or with the daemon. What happened before is \
            in the journal: 'journalctl -u batond'.

            Example:
              baton events
              baton events counter --count 1
              baton events --json | jq -c 'select(.event == "refused")'
            """)

    @Argument(help: "Only this service's events.")
    var service: String?
    @Option(help: ArgumentHelp("End after so many events.", valueName: "number"))
    var count: Int?
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count takes a number from 1 on") }
    }

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        // Each line is written at once, so that nothing is lost by ending so.
        signal(SIGINT) { _ in _exit(0) }
        var events = try EventStream(daemon.runtime)
        if let service { _ = try daemon.status(service) }
        var printed = 0
        var isStopping = false
        while printed < count ?? .max {
            let report: Report<ServiceEvent>
            do {
                report = try events.next(deadline: .never)
            } catch {
                // It has said so before.
                if isStopping, error == .disconnected { return .done }
                throw error
            }
            let event = try report.decoded()
            if event.event == "stopping" { isStopping = true }
            guard event.concerns(service) else { continue }
            let line =
                json.isSet ? report.json : Array(event.line(colour: Output.hasColour).utf8)
            guard Output.line(line) else { return .done }
            printed += 1
        }
        return .done
    }
}

extension ServiceEvent {
    /// Whether it is to be shown where only one service's events are; a gap always is.
    fileprivate func concerns(_ asked: String?) -> Bool {
        asked == nil || asked == service || event == "missed"
    }

    /// `2026-02-03T04:05:06.007Z  counter  upgraded  1 -> 2  message 5  512 µs`
    fileprivate func line(colour: Bool) -> String {
        if event == "missed" { return "\(count ?? 0) events were missed: they came too fast" }
        var parts = [time ?? "-", service ?? "batond"]
        parts.append(colour ? style.apply(to: event) : event)
        if let phase, phase != event { parts.append("in \(phase)") }
        switch (from, to) {
        case (let from?, let to?): parts.append("\(from) -> \(to)")
        case (let version?, nil), (nil, let version?): parts.append(version)
        case (nil, nil): break
        }
        if let message { parts.append("message \(message)") }
        if let pid { parts.append("process \(pid)") }
        if let cause { parts.append(cause) }
        if let durationMicroseconds { parts.append(Quantity.microseconds(durationMicroseconds)) }
        return parts.joined(separator: "  ")
    }

    private var style: Style {
        switch event {
        case "upgraded", "started", "confirmed", "ready", "writable": .good
        case "refused", "rolled_back", "host_ended", "stopped", "dead_letter", "quarantined",
            "read_only":
            .bad
        case "restarting", "stopping": .busy
        default: .plain
        }
    }
}
