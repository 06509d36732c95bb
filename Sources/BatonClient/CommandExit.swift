// CommandExit: what the baton command ends with, so that scripts and units can tell. Runs in baton.

/// Exit statuses, told in the manual; those from 64 on are of sysexits.h.
package enum CommandExit: Int32, Sendable {
    case done = 0
    /// An upgrade was refused or rolled back, or the daemon answered any other error.
    case refused = 1
    case serviceNotRunning = 3
    case noSuchService = 4
    case usage = 64
    case daemonNotReachable = 69
    case timedOut = 75

    /// The status for an error reply, by the code its text begins with.
    package init(errorCode: String) {
        self =
            switch errorCode {
            case "NOSERVICE": .noSuchService
            case "UNAVAILABLE": .serviceNotRunning
            case "TIMEOUT": .timedOut
            default: .refused
            }
    }
}
