// Where batond's log goes: to the journal with fields if standard error is connected to it, else as
// lines to standard error.

import CSystemd
import Glibc
import Logging

/// A log handler for swift-log. Metadata `service` becomes the journal's field `BATON_SERVICE`, and so
/// on; only `messageIDKey` becomes a field of the journal's own, `MESSAGE_ID`.
package struct JournalLog: LogHandler {
    /// 32 hexadecimal digits that name the kind of the message.
    package static let messageIDKey = "message_id"
    /// What a message with an id says in its text already, or has for programs only.
    private static let saidInText: Set = [
        "event", "phase", "from", "to", "cause", "message", "duration_microseconds", messageIDKey,
    ]

    package var logLevel = Logger.Level.info
    package var metadata = Logger.Metadata()
    private let isJournal: Bool

    package init() { isJournal = Self.standardErrorIsJournal() }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let text = "\(event.message)"
        if isJournal {
            toJournal(event.level, text, fields)
        } else {
            toStandardError(event.level, text, fields)
        }
    }

    // MARK: Lines

    private func toStandardError(
        _ level: Logger.Level, _ text: String, _ fields: Logger.Metadata
    ) {
        var line = "\(level.rawValue): "
        if let service = fields["service"] { line += "\(service): " }
        line += text
        let said = fields[Self.messageIDKey] == nil ? [] : Self.saidInText
        for (key, value) in fields.sorted(by: { $0.key < $1.key })
        where key != "service" && !said.contains(key) {
            line += " \(key)=\(value)"
        }
        line = String(line.map { $0.isNewline ? " " : $0 }) + "\n"
        _ = unsafe line.withCString { unsafe write(STDERR_FILENO, $0, strlen($0)) }
    }

    // MARK: The journal

    private func toJournal(_ level: Logger.Level, _ text: String, _ fields: Logger.Metadata) {
        let entries = Self.entries(level, text, fields)
        let pointers = unsafe entries.map { unsafe strdup($0) }
        defer { unsafe pointers.forEach { unsafe free($0) } }
        let vectors = unsafe pointers.map { pointer in
            unsafe iovec(iov_base: pointer, iov_len: pointer.map { unsafe strlen($0) } ?? 0)
        }
        _ = unsafe sd_journal_sendv(vectors, Int32(vectors.count))
    }

    /// The journal's fields, each as `NAME=value`.
    package static func entries(
        _ level: Logger.Level, _ text: String, _ fields: Logger.Metadata
    ) -> [String] {
        ["MESSAGE=\(text)", "PRIORITY=\(priority(level))", "SYSLOG_IDENTIFIER=batond"]
            + fields.sorted { $0.key < $1.key }.map { key, value in
                key == messageIDKey ? "MESSAGE_ID=\(value)" : "BATON_\(fieldName(key))=\(value)"
            }
    }

    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    private static func fieldName(_ key: String) -> String {
        String(
            key.uppercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    /// systemd names the stream's device and inode, so that a redirected one is told apart.
    private static func standardErrorIsJournal() -> Bool {
        guard let named = unsafe getenv("JOURNAL_STREAM") else { return false }
        let parts = unsafe String(cString: named).split(separator: ":")
        var status = stat()
        guard parts.count == 2, unsafe fstat(STDERR_FILENO, &status) == 0 else { return false }
        return UInt64(parts[0]) == UInt64(status.st_dev)
            && UInt64(parts[1]) == UInt64(status.st_ino)
    }
}
