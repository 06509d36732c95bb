// Something that `batond check` has found: wrong or notable, where, and the next step. Pure.

import BatonCore

package struct Finding: Equatable, Sendable {
    package enum Kind: String, Sendable {
        /// What was kept is not what was written.
        case damaged
        /// batond does not take it as it is.
        case refused
        /// Nothing is wrong with it, but the operator may want to know.
        case noted

        var isFault: Bool {
            switch self {
            case .damaged, .refused: true
            case .noted: false
            }
        }
    }

    package var kind: Kind
    package var service: ServiceName?
    /// A file or directory, if `what` does not begin with it.
    package var place: String?
    package var what: String
    package var next: String?

    var line: String {
        "\(kind.rawValue): " + (place.map { "\($0): " } ?? "") + what
            + (next.map { "; \($0)" } ?? "")
    }
}

/// Why there is no answer; said to the operator.
package struct CheckRefusal: Error, CustomStringConvertible {
    package var description: String
    /// As `baton` exits.
    package var exitCode: Int32

    static func noSuchService(_ service: ServiceName, _ state: String) -> CheckRefusal {
        CheckRefusal(
            description: "there is no mailbox of '\(service)' in \(state): 'baton check' lists "
                + "those there are", exitCode: 4)
    }
    static func unreadable(_ reason: String) -> CheckRefusal {
        CheckRefusal(
            description: "\(reason): name the state directory with --state", exitCode: 69)
    }
    static func refused(_ reason: String) -> CheckRefusal {
        CheckRefusal(description: reason, exitCode: 1)
    }
}
