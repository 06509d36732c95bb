// `baton check` and `baton repair`: both are done by batond's program, which has the rules and the
// formats; this one hands over to it. Run in baton, until they become batond.

import ArgumentParser
import BatonClient
import Glibc

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at all that is kept on disk, and change nothing.",
        discussion: """
            Reads every mailbox's log as batond does at its start (each record, checksum and link), the \
            images, the markers of removed services, the modes and owners of the directories, \
            the plugin directory and the configuration file. It writes nothing and takes no \
            lock, so batond may be at work meanwhile, or stopped. A torn end of a log is no damage: \
            it is what was being written at a crash, and nobody was told of it. Root looks at it \
            as the user that the state directory belongs to.

            A line for each mailbox, one for each finding with the next step, and one for all. \
            'damaged': what was kept is not what was written. 'refused': batond does not take it as \
            it is. 'noted': nothing is wrong with it.

            Exit statuses: 0 all is well; 1 something is damaged or refused; 4 no such service; 64 wrong \
            usage; 69 the state directory cannot be read.

            Example:
              baton check
              baton check counter --json
            """)

    @Argument(help: "Only these services' mailboxes and images.")
    var services: [String] = []
    @OptionGroup var files: KeptFiles
    @OptionGroup var json: JSONFlag

    func run() throws {
        throw Handover.toBatond(["check"] + services + files.arguments + json.arguments)
    }
}

struct Repair: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Mend a damaged mailbox, while batond is stopped.",
        discussion: """
            Reads what can be read of a mailbox that batond has quarantined, says what will be kept \
            and which messages are lost, and asks. Then it writes what can be kept as a new log, and \
            puts that in the old one's place. The damaged files are not changed: they lie in \
            STATE/repaired/SERVICE-TIME from then on, for you to remove. If it is cut off, the \
            mailbox is as it was or repaired, and it may be run again.

            What is settled is lost only where the state after it is: the messages since the last \
            state that can be read are then handled again. A message that waits and cannot be read \
            is lost, and named.

            Exit statuses: 0 repaired, or nothing to repair; 1 refused or declined; 4 no such service; 64 \
            wrong usage; 69 the state directory cannot be read.

            Example:
              systemctl stop batond
              baton repair counter
              systemctl start batond
            """)

    @Argument(help: "The service.")
    var service: String
    @Flag(help: "Do it without asking; needed where standard input is no terminal.")
    var yes = false
    @OptionGroup var files: KeptFiles
    @OptionGroup var json: JSONFlag

    func run() throws {
        throw Handover.toBatond(
            ["repair", service] + (yes ? ["--yes"] : []) + files.arguments + json.arguments)
    }
}

/// Where batond keeps things, if not where it does by itself.
struct KeptFiles: ParsableArguments {
    @Option(
        help: ArgumentHelp("The state directory.", valueName: "directory"), completion: .directory)
    var state: String?
    @Option(
        help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
    var config: String?
    @Option(
        help: ArgumentHelp("The plugin directory.", valueName: "directory"),
        completion: .directory)
    var plugins: String?

    var arguments: [String] {
        [("--state", state), ("--config", config), ("--plugins", plugins)].flatMap { name, value in
            value.map { [name, $0] } ?? []
        }
    }
}

extension JSONFlag {
    fileprivate var arguments: [String] { isSet ? ["--json"] : [] }
}
