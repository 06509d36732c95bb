// The tests of the real programs: batond, its hosts, baton, the plugins, and clients from elsewhere.
// Their files are numbered from basic to complex, so the first failure tells most.
//
// Each test has daemons, directories and clients of its own. They run one after the other, since
// each makes several processes busy. They wait for events: a reply, a notification, the end of a
// process; every wait is bounded, and no speed is asserted.

import Glibc
import Testing

@Suite("Real processes", .serialized, .compactMapIssues(DaemonLog.explain))
enum Processes {}

/// Something that was waited for did not come.
struct TimedOut: Error, CustomStringConvertible {
    var what: String
    var bound: Duration
    var description: String { "no \(what) within \(bound)" }
}

/// Something that a test rests on did not work, told in words.
struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

extension Duration {
    /// How long a test waits for what should come soon: long enough for a slow, busy machine, and for
    /// programs with a sanitizer.
    static let patience = Duration.seconds(Products.areSanitized ? 120 : 30)

    /// For `poll`: whole milliseconds, rounded up.
    var milliseconds: Int32 {
        Int32(
            clamping: components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 + 1
        )
    }
}

/// Asks `question` again and again until it says yes: for what nobody tells, like a process's
/// number of descriptors.
func wait(
    for what: String, within bound: Duration = .patience, until question: () throws -> Bool
) throws {
    let end = ContinuousClock.now.advanced(by: bound)
    while try !question() {
        guard ContinuousClock.now < end else { throw TimedOut(what: what, bound: bound) }
        usleep(1000)
    }
}
