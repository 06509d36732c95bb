// Replies on their way to one client, and how far they may go. Runs in batond.
//
// This is the one place where "persist before reply" is kept. Bytes are appended in order and pass
// three marks: `end` (appended), `committing` (covered by the sync under way), `released` (durable, or
// not in need of it). Nothing beyond `released` is ever handed to the socket.

struct OutputQueue: ~Copyable {
    /// Not yet sent; `bytes[0]` is at position `start`.
    private(set) var bytes: [UInt8] = []
    private var start = 0
    private var sent = 0
    private var committing = 0
    private var released = 0

    /// Positions count from the connection's beginning.
    var end: Int { start + bytes.count }
    var unsentCount: Int { end - sent }
    var hasReleased: Bool { released > sent }
    /// Whether something waits for a commit that has not begun.
    var isGathering: Bool { end > committing }

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
            // Keeps a moderate allocation for the next replies.
            bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 20)
            start = sent
        } else if sent - start > 1 << 20, sent - start > bytes.count / 2 {
            bytes.removeFirst(sent - start)
            start = sent
        }
    }
}
