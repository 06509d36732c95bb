// `baton mailbox`: what lies in a service's mailbox, and what becomes of dead letters. Runs in baton.

import ArgumentParser
import BatonClient

struct Mailbox: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a service's mailbox; redeliver or discard its dead letters.",
        discussion: """
            A message that has killed its host too often is a dead letter: it is set aside, its \
            sender was told POISON, and the messages behind it are handled. Once the service is \
            mended, redeliver it: it is a new message then, and nobody waits for its reply. Or \
            discard it.

            Example:
              baton mailbox counter
              baton mailbox counter --dead
              baton mailbox counter --redeliver 17
              baton mailbox counter --discard all
            """)

    @Argument(help: "The service.")
    var service: String
    @Flag(help: "List the dead letters.")
    var dead = false
    @Option(
        help: ArgumentHelp(
            "Put a dead letter, or all, into the mailbox again.", valueName: "sequence|all"))
    var redeliver: Choice?
    @Option(
        help: ArgumentHelp("Forget a dead letter, or all.", valueName: "sequence|all"))
    var discard: Choice?
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    /// Which dead letters.
    struct Choice: ExpressibleByArgument {
        /// Nil for all.
        var sequence: UInt64?

        init?(argument: String) {
            if argument.lowercased() == "all" { return }
            guard let sequence = UInt64(argument), sequence > 0 else { return nil }
            self.sequence = sequence
        }
    }

    func validate() throws {
        if [dead, redeliver != nil, discard != nil].count(where: { $0 }) > 1 {
            throw ValidationError("take one of --dead, --redeliver and --discard")
        }
    }

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        if let redeliver { return try dispose(.redeliver, redeliver, "redelivered", daemon) }
        if let discard { return try dispose(.discard, discard, "discarded", daemon) }
        return dead ? try listDeadLetters(daemon) : try show(daemon)
    }

    private func dispose(
        _ disposal: Daemon.Disposal, _ choice: Choice, _ done: String, _ daemon: Daemon
    ) throws(ClientError) -> CommandExit {
        let count = try daemon.dispose(disposal, of: choice.sequence, in: service)
        if json.isSet {
            Output.line("{\"service\":\"\(service)\",\"\(done)\":\(count)}")
        } else {
            let letters = count == 1 ? "1 dead letter" : "\(count) dead letters"
            Output.line("\(service)  \(letters) \(done)")
        }
        return .done
    }

    private func show(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.mailbox(service)
        if json.isSet {
            Output.line(report.json)
            return .done
        }
        let mailbox = try report.decoded()
        var list = FactList(title: mailbox.service)
        list.add(
            "messages",
            "\(mailbox.appended) accepted, \(mailbox.settled) settled, \(mailbox.waiting) waiting")
        list.add("kept", "from message \(mailbox.oldestKept)")
        var size = Quantity.bytes(mailbox.bytes)
        if mailbox.keptBytes > 0 {
            size += ", of these \(Quantity.bytes(mailbox.keptBytes)) for a rollback"
        }
        list.add("size", size)
        for attempt in mailbox.attempts {
            list.add(
                "failed", "message \(attempt.sequence), attempts: \(attempt.attempts)", .busy)
        }
        list.add(
            "dead letters", "\(mailbox.deadLetters), ever: \(mailbox.deadLettersEver)",
            mailbox.deadLetters > 0 ? .bad : .plain)
        for line in list.lines(colour: Output.hasColour) { Output.line(line) }
        if mailbox.deadLetters > 0 {
            Output.remark("'baton mailbox \(service) --dead' lists the dead letters")
        }
        return .done
    }

    private func listDeadLetters(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let report = try daemon.deadLetters(service)
        if json.isSet {
            Output.line(report.json)
            return .done
        }
        let letters = try report.decoded()
        if letters.isEmpty {
            Output.remark("\(service) has no dead letters")
            return .done
        }
        var table = Table([
            .init(title: "SEQUENCE", isNumber: true), .init(title: "ATTEMPTS", isNumber: true),
            .init(title: "VERSION"), .init(title: "AT"), .init(title: "BYTES", isNumber: true),
            .init(title: "TEXT"),
        ])
        table.rows = letters.map { letter in
            [
                "\(letter.sequence)", "\(letter.attempts)", "\(letter.version)", "\(letter.at)",
                "\(letter.bytes)", "\(letter.text)",
            ]
        }
        for line in table.lines(colour: Output.hasColour) { Output.line(line) }
        return .done
    }
}
