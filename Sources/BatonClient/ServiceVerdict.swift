// ServiceVerdict: how an upgrade ended, as RELOAD, UPGRADE and STATUS tell it. Runs in baton and in tests.

package struct ServiceVerdict: Codable, Equatable, Sendable {
    package var service: String
    package var verdict: Kind
    package var from: String?
    package var to: String?
    /// SHA-256 of the image asked for, in hexadecimal.
    package var digest: String?
    /// From suspend to resume.
    package var pauseMicroseconds: Int?
    package var totalMicroseconds: Int
    /// The last message of the version before.
    package var switchSequence: Int?
    /// Where it was refused, and why.
    package var phase: String?
    package var reason: String?
    /// `confirmed` or `provisional`: whether a crash still rolls it back.
    package var release: String?
    /// Messages that the new version handled in the shadow first, and how many of its replies
    /// differed.
    package var rehearsed: Int?
    package var differences: Int?
    /// Messages that wait in the mailbox of a service that was removed.
    package var kept: Int?

    package var exitStatus: CommandExit {
        verdict == .refused || verdict == .rolledBack ? .refused : .done
    }

    /// A verdict by name. Open, so that a client can show what a newer daemon says.
    package struct Kind: RawRepresentable, Codable, Hashable, Sendable {
        package let rawValue: String

        package init(rawValue: String) {
            self.rawValue = rawValue
        }

        package static let upgraded = Kind(rawValue: "upgraded")
        /// The bytes are the ones that run already.
        package static let current = Kind(rawValue: "current")
        package static let refused = Kind(rawValue: "refused")
        /// The service was not running before.
        package static let started = Kind(rawValue: "started")
        /// The version before runs again.
        package static let rolledBack = Kind(rawValue: "rolled_back")
        /// The service was ended, as its file is gone.
        package static let removed = Kind(rawValue: "removed")
        /// What a dry run says.
        package static let wouldUpgrade = Kind(rawValue: "would_upgrade")
        package static let wouldStart = Kind(rawValue: "would_start")
        package static let wouldRemove = Kind(rawValue: "would_remove")
    }
}
