// MailboxStatus: what MAILBOX answers. Runs in baton and in tests.

package struct MailboxStatus: Codable, Equatable, Sendable {
    package var service: String
    package var appended: Int
    package var settled: Int
    package var waiting: Int
    /// The first message that is still in the log.
    package var oldestKept: Int
    package var bytes: Int
    /// Of these, kept only for a rollback.
    package var keptBytes: Int
    /// Messages that have failed and are tried again.
    package var attempts: [Attempt]
    package var deadLetters: Int
    /// All there ever were.
    package var deadLettersEver: Int

    package struct Attempt: Codable, Equatable, Sendable {
        package var sequence: Int
        package var attempts: Int
    }
}

/// A message that was set aside, as MAILBOX DEAD lists it.
package struct DeadLetterStatus: Codable, Equatable, Sendable {
    package var sequence: Int
    /// How often it killed its host.
    package var attempts: Int
    /// The version that it killed last.
    package var version: String
    /// RFC 3339, in UTC.
    package var at: String
    package var bytes: Int
    /// Its beginning, what cannot be printed as dots.
    package var text: String
    package var base64: String
}
