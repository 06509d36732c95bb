// What reads bytes of others, each with an entry that takes any bytes at all. Runs in the fuzzer, and
// in the tests with the corpus. What must hold is said by preconditions: a violation is a crash.

package enum FuzzTarget: String, CaseIterable, Sendable {
    /// The lines of a line socket.
    case lines
    /// Requests on baton.sock, inline commands among them.
    case resp
    /// A mailbox's files, with good checksums around bad contents.
    case mailbox
    /// The same, repaired.
    case repair
    /// What a host says on its channel, and its ring.
    case host
    /// What a host is told.
    case command
    /// The state directory's format, and the markers of services that were removed.
    case manifest
    /// The configuration file.
    case configuration

    package func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .lines: unsafe FuzzLines.run(bytes)
        case .resp: unsafe FuzzRESP.run(bytes)
        case .mailbox: unsafe FuzzMailbox.open(bytes)
        case .repair: unsafe FuzzMailbox.repair(bytes)
        case .host: unsafe FuzzHost.run(bytes)
        case .command: unsafe FuzzHost.command(bytes)
        case .manifest: unsafe FuzzManifest.run(bytes)
        case .configuration: unsafe FuzzConfiguration.run(bytes)
        }
    }
}
