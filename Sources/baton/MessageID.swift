// A message's id, as a client gives it. Runs in baton.

import ArgumentParser
import BatonClient

struct MessageID: ExpressibleByArgument {
    static let help: ArgumentHelp =
        "An id of yours for the message, 1 to \(Daemon.idBytes) bytes: sent again with it, it is not handled again."

    let text: String

    init?(argument: String) {
        // batond takes no other.
        guard 1...Daemon.idBytes ~= argument.utf8.count else { return nil }
        text = argument
    }
}
