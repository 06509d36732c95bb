// A message's id, as a client gives it. Runs in baton.

import ArgumentParser

struct MessageID: ExpressibleByArgument {
    let text: String

    init?(argument: String) {
        // batond takes no other.
        guard 1...64 ~= argument.utf8.count else { return nil }
        text = argument
    }
}
