// A client that keeps many messages under way on one connection, and looks at every reply: one to
// each message, in order, and the right one.

import BatonLinux
import Glibc

/// What is said on a connection, message by message.
protocol Conversation {
    /// Appends message `index`, from 0 on, as it goes over the wire.
    mutating func say(_ index: Int, to bytes: inout [UInt8])
    /// Looks at the reply to message `index`, without its newline.
    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws
}

final class PipelinedClient<Talk: Conversation> {
    var talk: Talk
    /// Messages sent, and replies seen.
    private(set) var sent = 0
    private(set) var received = 0
    /// How many messages it sends.
    var goal: Int
    /// The most without a reply.
    let window: Int
    /// The daemon has ended the connection.
    private(set) var isCut = false

    let socket: Descriptor
    private var output: [UInt8] = []
    private var outputSent = 0
    private var input: [UInt8] = []

    init(_ talk: Talk, path: String, window: Int, goal: Int = .max) throws {
        self.talk = talk
        self.window = window
        self.goal = goal
        socket = try UnixSocket.connect(path: path)
        try socket.setNonBlocking()
    }

    var isDone: Bool { isCut || received == goal }

    /// Whether it has something to send.
    var wantsToSend: Bool {
        outputSent < output.count || sent < goal && sent - received < window
    }

    /// Sends no more than it has; replies to those still come.
    func endHere() { goal = min(goal, sent) }

    /// Sends what may be sent, takes what has come.
    func step() throws {
        try receive()
        if !isCut { try send() }
    }

    private func send() throws {
        while wantsToSend {
            if outputSent == output.count {
                output.removeAll(keepingCapacity: true)
                outputSent = 0
                while sent < goal, sent - received < window, output.count < 32 << 10 {
                    talk.say(sent, to: &output)
                    sent += 1
                }
            }
            let count = unsafe output.withUnsafeBytes { bytes in
                unsafe Glibc.send(
                    socket.number, bytes.baseAddress?.advanced(by: outputSent),
                    bytes.count - outputSent, CInt(MSG_NOSIGNAL))
            }
            if count >= 0 {
                outputSent += count
                continue
            }
            switch errno {
            case EAGAIN: return
            case EINTR: break
            case EPIPE, ECONNRESET:
                isCut = true
                return
            default: throw SystemError.last("send to the daemon")
            }
        }
    }

    /// A bounded part, so that others have their turn.
    private func receive() throws {
        var count = 0
        input.append(addingCapacity: 128 << 10) { room in
            unsafe room.withUnsafeMutableBufferPointer { bytes, initialized in
                count = unsafe recv(
                    socket.number, bytes.baseAddress?.advanced(by: initialized),
                    bytes.count - initialized, 0)
                initialized += max(0, count)
            }
        }
        if count == 0 || count < 0 && errno == ECONNRESET { isCut = true }
        if count < 0, ![EAGAIN, EINTR, ECONNRESET].contains(errno) {
            throw SystemError.last("receive from the daemon")
        }
        try take()
    }

    private func take() throws {
        var start = 0
        while let newline = input[start...].firstIndex(of: UInt8(ascii: "\n")) {
            guard received < sent else { throw Failure("a reply to nothing, after \(received)") }
            try talk.hear(input[start..<newline], received)
            received += 1
            start = newline + 1
        }
        input.removeFirst(start)
    }
}

/// Clients that work side by side, in the test's own thread.
struct Crowd<Talk: Conversation> {
    let clients: [PipelinedClient<Talk>]

    init(_ clients: [PipelinedClient<Talk>]) { self.clients = clients }

    /// Works until every client is done, or cut off. Ends with an error if for `bound` nothing comes.
    /// - Parameter isOver: asked in every turn; once it says yes, the clients send no more.
    func work(
        within bound: Duration = .patience, until isOver: () throws -> Bool = { false }
    ) throws {
        while !clients.allSatisfy(\.isDone) {
            if try isOver() { for client in clients { client.endHere() } }
            var entries = clients.map { client in
                let events = (client.isDone ? 0 : POLLIN) | (client.wantsToSend ? POLLOUT : 0)
                return pollfd(
                    fd: client.isDone ? -1 : client.socket.number, events: Int16(events), revents: 0
                )
            }
            let number = nfds_t(entries.count)
            let ready = retryInterrupted { unsafe Int(poll(&entries, number, bound.milliseconds)) }
            guard ready > 0 || clients.allSatisfy(\.isDone) else {
                let left = clients.filter { !$0.isDone }
                throw TimedOut(
                    what: "reply for \(left.count) of \(clients.count) clients "
                        + "(sent \(left.map(\.sent)), received \(left.map(\.received)))",
                    bound: bound)
            }
            for (client, entry) in zip(clients, entries) where entry.revents != 0 {
                try client.step()
            }
        }
    }
}
