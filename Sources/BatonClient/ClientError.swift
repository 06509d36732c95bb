// ClientError: why the daemon gave no answer that could be used. Runs in baton and in tests.

import BatonLinux

package enum ClientError: Error, Equatable, Sendable {
    /// Nobody listens at `path`.
    case noDaemon(path: String)
    /// The socket is there, but this user may not connect.
    case notAllowed(path: String)
    /// Longer than the address of a Unix socket can be.
    case pathTooLong(path: String, limit: Int)
    /// Another failure of a system call while connecting or talking.
    case system(SystemError)
    /// The daemon ended the connection before its answer was complete.
    case disconnected
    /// The deadline passed before the answer was complete.
    case timedOut(after: Duration)
    /// The answer was not what the protocol or this client allows.
    case malformedReply(String)
    /// The daemon answered `-CODE text`.
    case refused(code: String, text: String)

    /// What the daemon answered: `CODE text`.
    init(errorReply text: String) {
        let parts = text.split(separator: " ", maxSplits: 1)
        self = .refused(
            code: parts.first.map(String.init) ?? "ERR",
            text: parts.dropFirst().first.map(String.init) ?? "")
    }

    package var exitStatus: CommandExit {
        switch self {
        case .noDaemon, .notAllowed, .pathTooLong, .system, .disconnected, .malformedReply:
            .daemonNotReachable
        case .timedOut: .timedOut
        case .refused(let code, _): CommandExit(errorCode: code)
        }
    }
}

extension ClientError: CustomStringConvertible {
    /// What went wrong and the next step, on one line.
    package var description: String {
        switch self {
        case .noDaemon(let path):
            "no daemon at \(path): start it with 'systemctl start batond', "
                + "or name its directory with --runtime"
        case .notAllowed(let path):
            "no permission for \(path): run as its owner or join its group"
        case .pathTooLong(let path, let limit):
            "\(path) is longer than the \(limit) bytes of a socket's address: "
                + "choose a shorter runtime directory"
        case .system(let error):
            "cannot \(error): see 'journalctl -u batond'"
        case .disconnected:
            "the daemon closed the connection without an answer: see 'journalctl -u batond'"
        case .timedOut(let limit):
            "no answer within \(limit.seconds) s: what was asked for may still come about, "
                + "see 'baton status' and 'journalctl -u batond'"
        case .malformedReply(let what):
            "the daemon's answer makes no sense (\(what)): "
                + "is it batond, and of the same version as this command?"
        case .refused(let code, let text):
            text.isEmpty ? code : "\(code) \(text)"
        }
    }
}

extension Duration {
    /// In seconds, without a needless fraction: `120`, `0.5`.
    fileprivate var seconds: String {
        let (seconds, attoseconds) = components
        guard attoseconds != 0 else { return "\(seconds)" }
        return "\(Double(seconds) + Double(attoseconds) / 1e18)"
    }
}
