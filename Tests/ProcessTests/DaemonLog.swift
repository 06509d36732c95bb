// The logs of a test's daemons, shown with each of its failures.

import Foundation
import Synchronization
import Testing

enum DaemonLog {
    /// Log files of daemons that live, and the last lines of those of this test that have gone.
    private struct Logs {
        var files: [String] = []
        var gone: [String] = []
    }

    private static let logs = Mutex(Logs())

    /// A daemon starts that logs to `file`.
    static func begin(_ file: String) {
        logs.withLock { logs in
            // Tests run one after the other: with no daemon alive, this is the first of a test.
            if logs.files.isEmpty { logs.gone = [] }
            logs.files.append(file)
        }
    }

    /// It has ended, and its log goes with it.
    static func end(_ file: String) {
        let last = tail(file)
        logs.withLock { logs in
            logs.files.removeAll { $0 == file }
            logs.gone.append(last)
        }
    }

    static func tail(_ file: String, lines count: Int = 40) -> String {
        let bytes = FileManager.default.contents(atPath: file) ?? Data()
        return String(decoding: bytes.suffix(64 << 10), as: UTF8.self)
            .split(separator: "\n").suffix(count).joined(separator: "\n")
    }

    private static let heading = "the daemon's log ends with:"

    /// Adds the logs to an issue, once: the trait works on suites within suites too.
    @Sendable static func explain(_ issue: Issue) -> Issue? {
        guard !issue.comments.contains(where: { $0.rawValue.hasPrefix(heading) }) else {
            return issue
        }
        let (files, gone) = logs.withLock { ($0.files, $0.gone) }
        var issue = issue
        for tail in gone + files.map({ tail($0) }) where !tail.isEmpty {
            issue.comments.append("\(heading)\n\(tail)")
        }
        return issue
    }
}
