// How often the disk has failed batond of late: what one batond leaves for the next. Runs in batond.
//
// The first time, batond ends and recovers from the disk. If that fails too, another start would do
// nothing but wear out the disk and the service manager: the one after it serves read-only. It knows by
// a file in the runtime directory, which is in memory: on the failing disk it could not be written,
// and a boot of the machine forgets it, as it should. So does an end in order, which is the operator's
// word that the disk is to be tried again.

import BatonCore
import BatonLinux
import BatonStore
import Glibc

package struct DiskFailures {
    private let path: String
    /// Seconds since boot: of a clock that does not jump, and goes on in a machine that sleeps.
    private let now: Int
    private let earlier: Mark?

    /// `COUNT SECONDS REASON`, one line.
    package struct Mark: Equatable {
        package var count: Int
        package var seconds: Int
        package var reason: String

        package init(count: Int, seconds: Int, reason: String) {
            (self.count, self.seconds, self.reason) = (count, seconds, reason)
        }

        package init?(_ line: Substring) {
            let words = line.split(separator: " ", maxSplits: 2)
            guard words.count == 3, let count = Int(words[0]), let seconds = Int(words[1]) else {
                return nil
            }
            self.init(count: count, seconds: seconds, reason: String(words[2]))
        }

        package var line: String { "\(count) \(seconds) \(reason)\n" }
    }

    /// Looks at what the batond before this one has left in the runtime directory.
    package init(runtime: String) {
        path = "\(runtime)/disk-failed"
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        now = Int(time.tv_sec)
        earlier = Self.read(path)
    }

    private static func read(_ path: String) -> Mark? {
        guard let file = try? OpenFile(.open(path, flags: O_RDONLY | O_NOFOLLOW)) else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: 1024)
        let got = unsafe pread(file.number, &bytes, bytes.count, 0)
        let text = String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
        return Mark(text.prefix { $0 != "\n" })
    }

    /// Why batond is to write nothing; `nil` if it may.
    package var readOnlyReason: String? { Self.readOnlyReason(after: earlier, now: now) }

    package static func readOnlyReason(after mark: Mark?, now: Int) -> String? {
        guard let mark, isRecent(mark, now: now), mark.count >= 2 else { return nil }
        return "the disk has failed \(mark.count) times in a row (\(mark.reason))"
    }

    private static func isRecent(_ mark: Mark, now: Int) -> Bool {
        now >= mark.seconds && now - mark.seconds <= FixedLimits.diskFailureSeconds
    }

    package static func next(after mark: Mark?, now: Int, reason: String) -> Mark {
        let count = mark.map { isRecent($0, now: now) ? $0.count : 0 } ?? 0
        let line = reason.split(whereSeparator: \.isNewline).joined(separator: " ")
        return Mark(
            count: count + 1, seconds: now, reason: String(line.prefix(FixedLimits.reasonBytes)))
    }

    /// The disk has failed now.
    package func note(_ reason: String) throws(SystemError) {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_BOOTTIME, &time)
        let mark = Self.next(after: earlier, now: Int(time.tv_sec), reason: reason)
        let file = OpenFile(
            try .open(path, flags: O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600))
        try file.write(Array(mark.line.utf8), at: 0)
    }

    package func forget() { _ = unsafe unlink(path) }
}
