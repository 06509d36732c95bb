// RuntimeDirectory: where a daemon's sockets are. Runs in baton and in tests.

import Glibc

/// The directory in which batond keeps its sockets.
package struct RuntimeDirectory: Equatable, Sendable {
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// The first there is of: the one asked for, BATON_RUNTIME, the user's default place.
    /// An empty variable counts as none.
    package init(
        asked: String?, environment: [String: String], userID: UInt32
    ) {
        func variable(_ name: String) -> String? {
            environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
        if let path = asked ?? variable("BATON_RUNTIME") {
            self.path = path
        } else if userID == 0 {
            path = "/run/baton"
        } else if let directory = variable("XDG_RUNTIME_DIR") {
            path = "\(directory)/baton"
        } else {
            path = "/tmp/baton-\(userID)"
        }
    }

    /// Messages and questions.
    package var messageSocket: String { "\(path)/baton.sock" }
    /// What changes the daemon's services, and all of the above.
    package var controlSocket: String { "\(path)/control.sock" }
    /// One service's line socket.
    package func serviceSocket(_ service: String) -> String { "\(path)/services/\(service).sock" }
}
