// Replies on their way to one client, and how far they may go. Runs in batond.
//
// This is the one place where "persist before reply" is kept. Bytes are appended in order and pass
// three marks: `end` (appended), `committing` (covered by the sync under way), `released` (durable, or
// not in need of it). Nothing beyond `released` is ever handed to the socket.

import BatonCore
import BatonLinux
import BatonWire
import Glibc

struct OutputQueue: ~Copyable {
    /// How replies look on the wire.
    enum Frame {
        case line
        case bulk(RESPWriter)

        static let binary = Array(
            "-BINARY the reply contains a newline: call this service over baton.sock\n".utf8)

        @inline(__always)
        func append(_ reply: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
            switch self {
            case .bulk(let writer): unsafe writer.bulk(reply, to: &bytes)
            case .line:
                let start = bytes.count
                unsafe bytes.append(contentsOf: reply)
                bytes.append(10)
                // Looked at after the copy: the host can still write to the original.
                if Self.hasNewline(bytes, from: start) {
                    bytes.removeLast(bytes.count - start)
                    bytes.append(contentsOf: Self.binary)
                }
            }
        }

        /// Whether there is a newline before the one at the end.
        @inline(__always)
        private static func hasNewline(_ bytes: [UInt8], from start: Int) -> Bool {
            unsafe bytes.withUnsafeBytes { all in
                guard let base = all.baseAddress else { return false }
                return unsafe memchr(base + start, 10, all.count - start - 1) != nil
            }
        }
    }

    /// Not yet sent; `bytes[0]` is at position `start`.
    private(set) var bytes: [UInt8] = []
    private var start = 0
    private var sent = 0
    private var committing = 0
    private var released = 0

    /// Positions count from the connection's beginning.
    var end: Int { start + bytes.count }
    var unsentCount: Int { end - sent }
    var sentCount: Int { sent }
    var hasReleased: Bool { released > sent }
    /// Whether something waits for a commit that has not begun.
    var isGathering: Bool { end > committing }
    /// Whether something waits for a commit, begun or not, and nothing else can be sent.
    var isCommitting: Bool { released == sent && end > released }
    /// Bytes of memory.
    var capacity: Int { bytes.capacity }

    /// Appends with `append`, which may only add. What is `gated` waits for the next commit.
    @inline(__always)
    mutating func append(gated: Bool, _ append: (inout [UInt8]) -> Void) {
        let mayPass = !gated && released == end
        append(&bytes)
        if mayPass {
            released = end
            committing = end
        }
    }

    /// Appends the replies that `reader` has for the messages after `sequence`, as long as nothing
    /// else comes between: the inner loop of the way back.
    /// - Returns: how many there were.
    mutating func appendReplies(
        _ reader: inout SharedRing.Reader, _ ring: borrowing SharedRing, after sequence: UInt64,
        atMost limit: UInt64, as frame: Frame, gated: Bool
    ) -> UInt64 {
        let mayPass = !gated && released == end
        var count: UInt64 = 0
        while count < limit,
            let reply = unsafe reader.nextReply(sequence &+ count &+ 1, ring)
        {
            unsafe frame.append(reply, to: &bytes)
            count += 1
        }
        if mayPass {
            released = end
            committing = end
        }
        return count
    }

    /// A commit begins that covers everything appended so far.
    mutating func commitBegins() { committing = end }

    /// It is durable.
    mutating func commitEnds() { released = max(released, committing) }

    /// Hands what may be sent to `send`, which returns how much of it went.
    mutating func send(_ send: (UnsafeRawBufferPointer) -> Int) {
        while released > sent {
            let range = sent - start..<released - start
            let went = unsafe bytes.withUnsafeBytes {
                unsafe send(UnsafeRawBufferPointer(rebasing: $0[range]))
            }
            guard went > 0 else { break }
            sent += went
        }
        compact()
    }

    private mutating func compact() {
        if sent == end {
            // Keeps a small allocation for the next replies: there may be ten thousand such queues.
            bytes.removeAll(keepingCapacity: bytes.capacity <= FixedLimits.idleOutputBytes)
            start = sent
        } else if sent - start > 1 << 20, sent - start > bytes.count / 2 {
            bytes.removeFirst(sent - start)
            start = sent
        }
    }
}
