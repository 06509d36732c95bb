// `baton call`, `baton send`: one message to a service. Runs in baton.

import ArgumentParser
import BatonClient

struct Call: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send a message and print its reply.",
        discussion: """
            The reply comes when message and effect are durable. It is printed as it is, with a \
            newline after it. Without MESSAGE, standard input is the message, save for its last \
            newline. A message that begins with '-' goes after '--'.

            If the time is up (exit status 75) the message may still be handled: it was accepted.

            Example:
              baton call ping hello
              baton call counter --timeout 2 < message
            """)

    @Argument(help: "The service.")
    var service: String
    @Argument(help: "The message; standard input if there is none.")
    var message: String?
    @Option(help: ArgumentHelp("How long to wait for the reply.", valueName: "seconds"))
    var timeout = Seconds(30)
    @Option(help: MessageID.help)
    var id: MessageID?
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        guard let message = Input.message(message) else { return .usage }
        Output.line(try daemon.call(service, message, id: id?.text, timeout: timeout.duration))
        return .done
    }
}

struct Send: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send a message without waiting for it to be handled.",
        discussion: """
            Prints the message's sequence number in the service's mailbox, once the message is \
            durable. Without MESSAGE, standard input is the message, save for its last newline.

            Example:
              baton send counter 5
            """)

    @Argument(help: "The service.")
    var service: String
    @Argument(help: "The message; standard input if there is none.")
    var message: String?
    @Option(help: ArgumentHelp("How long to wait for the receipt.", valueName: "seconds"))
    var timeout = Seconds(30)
    @Option(help: MessageID.help)
    var id: MessageID?
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        guard let message = Input.message(message) else { return .usage }
        Output.line(
            "\(try daemon.send(service, message, id: id?.text, patience: timeout.duration))")
        return .done
    }
}
