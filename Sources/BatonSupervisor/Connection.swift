// One client: its socket, what it has sent and not yet been taken, its replies in order.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonWire
import CLinux
import Glibc

final class Connection {
    /// What is spoken on the socket.
    enum Wire {
        /// Lines to one service.
        case lines(Service)
        /// RESP; `mayChange` on the control socket.
        case resp(mayChange: Bool)
    }

    enum State: Equatable {
        case open
        /// The client has ended its side: its replies still go out.
        case inputEnded
        /// Something was wrong: what is in the queue goes out, nothing more is read.
        case closing
        case closed
    }

    let wire: Wire
    let peer: UnixSocket.Peer
    let token: UInt64
    private var socket: Descriptor?
    let number: Int32
    var state = State.open
    /// Read and not yet taken: half a message, or what back-pressure holds up.
    var input: [UInt8] = []
    /// `input` may hold whole messages, which are not taken yet: nothing is read before they are.
    var isHeldBack = false
    /// Its service's mailbox is full: it is among those that wait for room.
    var isWaitingForRoom = false
    /// It has closed its end; what it had sent is still taken.
    var hasGone = false
    /// When something of it was read last.
    var lastInput = Moment(nanoseconds: 0)
    var lines: LineParser
    var commands: RESPParser
    var writer = RESPWriter()
    /// By `CLIENT SETNAME`.
    private(set) var name = ""
    /// The service it named last: most clients go on with the same.
    weak var lastService: Service?
    /// If it is told events.
    var subscription: Subscription?
    private(set) var output = OutputQueue()
    /// When the client last took something, while something waits for it.
    var stalledSince: Moment?
    var isInGathering = false
    var isToFlush = false
    var isToResume = false
    /// A timer looks after its reading.
    var isTimed = false
    /// A timer looks after its speed.
    var isRushed = false
    /// A timer looks after the rest of its message.
    var isExpectedToSend = false
    /// The bytes that are accounted for it.
    var charged = 0
    private var interest = EventLoop.Interest.readable

    // Each message or command has a slot; replies leave in the order of slots.
    private(set) var nextSlot: UInt64 = 0
    private var headSlot: UInt64 = 0
    private var parked: [UInt64: Parked] = [:]
    private var parkedCount = 0
    /// Calls that are to be answered by a time.
    var deadlines = CallDeadlines()

    struct Subscription {
        /// The slot of the confirmation, which events follow.
        let confirmation: UInt64
        /// Events dropped since the client last read fast enough.
        var missed: UInt64 = 0
    }

    private struct Parked {
        var bytes: [UInt8]
        var gated: Bool
    }

    init(
        _ socket: consuming Descriptor, wire: Wire, peer: UnixSocket.Peer, token: UInt64,
        limits: Limits
    ) {
        number = socket.number
        self.socket = consume socket
        self.wire = wire
        self.peer = peer
        self.token = token
        lines = LineParser(maximumLine: limits.messageBytes)
        commands = RESPParser(limits: RESPParser.Limits(bulk: limits.messageBytes))
    }

    /// Whose ids its messages bear: it is the client of this name, or, without one, of this uid.
    var client: [UInt8] { Array(name.isEmpty ? "uid \(peer.uid)".utf8 : "name \(name)".utf8) }

    /// - Returns: whether it may have this name.
    func take(name: String) -> Bool {
        guard name.utf8.count <= FixedLimits.clientNameBytes else { return false }
        self.name = name
        return true
    }

    static let nameIsTooLong = "a client's name has at most \(FixedLimits.clientNameBytes) bytes"

    var pendingCount: UInt64 { nextSlot - headSlot }
    /// Bytes of replies that are kept for this client.
    var bufferedCount: Int { output.unsentCount + parkedCount }
    /// Bytes of memory that it takes.
    var byteCount: Int { input.capacity + output.capacity + parkedCount }
    /// Whether it is not read for now.
    var isPaused: Bool { isHeldBack || hasGone || !interest.contains(.readable) }
    var isFinished: Bool {
        switch state {
        case .open: false
        case .inputEnded: pendingCount == 0 && output.unsentCount == 0
        case .closing: output.unsentCount == 0
        case .closed: true
        }
    }

    // MARK: Replies

    @inline(__always)
    func takeSlots(_ count: UInt64) -> UInt64 {
        let slot = nextSlot
        nextSlot += count
        return slot
    }

    /// The reply of `slot`, written by `append`. A slot has one reply: a second one is dropped.
    @inline(__always)
    func reply(_ slot: UInt64, gated: Bool, _ append: (inout [UInt8]) -> Void) {
        guard state != .closed else {
            // The client has gone; its messages are handled all the same.
            return
        }
        if slot == headSlot {
            output.append(gated: gated, append)
            headSlot += 1
            if !parked.isEmpty { unpark() }
        } else if slot > headSlot, parked[slot] == nil {
            var bytes: [UInt8] = []
            append(&bytes)
            parkedCount += bytes.count + FixedLimits.parkedReplyBytes
            parked[slot] = Parked(bytes: bytes, gated: gated)
        }
    }

    /// An event: it has no slot, and stands between two replies.
    /// - Returns: false before the subscription is confirmed, and after the input has ended.
    func push(_ append: (inout [UInt8]) -> Void) -> Bool {
        guard let subscription, state == .open, headSlot > subscription.confirmation else {
            return false
        }
        output.append(gated: false, append)
        return true
    }

    /// Whether it may ask this: in RESP2 a subscriber could not tell replies from events.
    func mayAsk(_ name: CommandName) -> Bool {
        subscription == nil || writer.version == .three || name.isForSubscribers
    }

    /// Whether the reply of `slot` has not come yet.
    func awaits(_ slot: UInt64) -> Bool { slot >= headSlot && parked[slot] == nil }

    /// Takes the replies to messages whose slots begin with `slot` straight from the ring, if those
    /// are the next to leave; 0 if not, or if something else than a reply is next.
    func takeReplies(
        from host: HostProcess, after sequence: UInt64, slot: UInt64, atMost limit: UInt64,
        gated: Bool
    ) -> UInt64 {
        guard state != .closed, slot == headSlot, parked.isEmpty else { return 0 }
        let count = output.appendReplies(
            &host.reader, host.ring, after: sequence, atMost: limit, as: frame, gated: gated)
        headSlot += count
        return count
    }

    /// How a reply looks on this socket.
    var frame: OutputQueue.Frame {
        switch wire {
        case .lines: .line
        case .resp: .bulk(writer)
        }
    }

    private func unpark() {
        while let next = parked.removeValue(forKey: headSlot) {
            parkedCount -= next.bytes.count + FixedLimits.parkedReplyBytes
            output.append(gated: next.gated) { $0.append(contentsOf: next.bytes) }
            headSlot += 1
        }
    }

    /// An error in the socket's own form.
    func replyError(_ slot: UInt64, gated: Bool = false, _ code: String, _ text: String) {
        reply(slot, gated: gated) { bytes in
            // On a line socket an error looks the same: one line, `-CODE text`.
            switch wire {
            case .resp: writer.error(code, text, to: &bytes)
            case .lines:
                writer.error(code, text, to: &bytes)
                bytes.remove(at: bytes.count - 2)  // the carriage return
            }
        }
    }

    func commitBegins() { output.commitBegins() }
    func commitEnds() { output.commitEnds() }

    // MARK: The socket

    /// Reads into `buffer`; 0 is the end, `nil` means that nothing is there now.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        let got = retryInterrupted {
            unsafe recv(number, buffer.baseAddress, buffer.count, 0)
        }
        if got >= 0 { return got }
        return errno == EAGAIN ? nil : 0
    }

    /// Sends what may go. False if the client has gone; what it is sent from then on is dropped.
    func flush(now: Moment) -> Bool {
        if hasGone {
            unsafe output.send { $0.count }
            return true
        }
        var alive = true
        let before = output.unsentCount
        let number = number
        unsafe output.send { bytes in
            let went = retryInterrupted {
                unsafe Glibc.send(number, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            if went < 0 {
                if errno != EAGAIN { alive = false }
                return 0
            }
            return went
        }
        if !output.hasReleased {
            stalledSince = nil
        } else if output.unsentCount < before || stalledSince == nil {
            stalledSince = now
        }
        return alive
    }

    /// Closes the socket now; others may still hold this object.
    func shutDown() { socket = nil }

    /// It is closed: nothing is kept of it either.
    func letGo() {
        shutDown()
        input = []
        parked = [:]
        parkedCount = 0
        output = OutputQueue()
        deadlines = CallDeadlines()
    }

    /// What to wait for, given whether it is to be read.
    func wanted(reading: Bool) -> EventLoop.Interest? {
        var wanted: EventLoop.Interest = []
        if reading, state == .open, !isHeldBack { wanted.insert(.readable) }
        if output.hasReleased { wanted.insert(.writable) }
        guard wanted != interest else { return nil }
        interest = wanted
        return wanted
    }
}
