// baton: the operator's command. One process per invocation; it asks batond over its sockets.

import ArgumentParser
import Glibc

@main
struct Baton: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "baton",
        abstract: "Talk to Baton's services and change their code while they run.",
        discussion: """
            Each command asks the daemon, batond, whose sockets are in its runtime directory: \
            /run/baton for root, $XDG_RUNTIME_DIR/baton for others, or the one that --runtime or \
            BATON_RUNTIME names. 'check' and 'repair' read what batond keeps on disk, and need no \
            daemon.

            Exit statuses: 0 done; 1 refused or rolled back, or another error; 3 service not running; 4 no such \
            service; 64 wrong usage; 69 daemon not reachable; 75 timed out.
            """,
        version: "0.3.1",
        groupedSubcommands: [
            CommandGroup(
                name: "See",
                subcommands: [
                    Status.self, Versions.self, Explain.self, Mailbox.self, Events.self,
                ]),
            CommandGroup(name: "Send messages", subcommands: [Call.self, Send.self]),
            CommandGroup(
                name: "Change",
                subcommands: [
                    Reload.self, Upgrade.self, Rollback.self, Confirm.self, Suspend.self,
                    Resume.self, Purge.self,
                ]),
            CommandGroup(name: "Look after what is kept", subcommands: [Check.self, Repair.self]),
        ])

    // Here too, so that `baton --runtime DIR status` is the same as `baton status --runtime DIR`.
    @OptionGroup var place: DaemonPlace

    static func main() {
        // A reader that has seen enough (`baton status | head -1`) is no reason to die loudly.
        signal(SIGPIPE, SIG_IGN)
        main(nil)
    }
}
