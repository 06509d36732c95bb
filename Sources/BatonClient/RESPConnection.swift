// RESPConnection: asks a daemon and reads its replies. Runs in baton and in tests.

import BatonWire

/// One connection to baton.sock or control.sock. Requests and replies go one after the other;
/// after a thrown error it is of no further use.
package struct RESPConnection: ~Copyable {
    /// The most that a reply may take, whatever it announces.
    enum Limits {
        /// A line: a simple string, an error, the head of anything else. In bytes.
        static let line = 64 << 10
        /// A bulk string, in bytes. A status of very many services is the largest.
        static let bulk = 256 << 20
        /// Values in one reply, with all that are nested.
        static let values = 1 << 20
        static let depth = 16
    }

    private let socket: ClientSocket
    private var buffer: [UInt8] = []
    /// How much of `buffer` has been read.
    private var position = 0

    package init(path: String, deadline: Deadline) throws(ClientError) {
        socket = try ClientSocket(path: path, deadline: deadline)
    }

    /// Sends one command and returns its reply; an error reply is returned as a value.
    package mutating func call(
        _ arguments: [[UInt8]], deadline: Deadline
    ) throws(ClientError) -> RESPValue {
        try send(arguments, deadline: deadline)
        return try receive(deadline: deadline)
    }

    /// The same with text.
    package mutating func call(
        _ arguments: String..., deadline: Deadline
    ) throws(ClientError) -> RESPValue {
        try call(arguments.map { Array($0.utf8) }, deadline: deadline)
    }

    /// Sends one command; its reply is to be received in turn. A daemon that has closed the
    /// connection is no error yet: its reply may say why.
    package mutating func send(
        _ arguments: [[UInt8]], deadline: Deadline
    ) throws(ClientError) {
        let writer = RESPWriter()
        var request: [UInt8] = []
        writer.array(arguments.count, to: &request)
        for argument in arguments { writer.bulk(argument, to: &request) }
        _ = try socket.send(request, deadline: deadline)
    }

    /// The next reply.
    package mutating func receive(deadline: Deadline) throws(ClientError) -> RESPValue {
        buffer.removeFirst(position)
        position = 0
        var values = Limits.values
        return try value(depth: 0, values: &values, deadline: deadline)
    }

    // MARK: Values

    private mutating func value(
        depth: Int, values: inout Int, deadline: Deadline
    ) throws(ClientError) -> RESPValue {
        guard depth < Limits.depth else { throw .malformedReply("nested too deep") }
        guard values > 0 else { throw .malformedReply("too many values") }
        values -= 1
        let line = try line(deadline: deadline)
        guard let type = line.first else { throw .malformedReply("an empty line") }
        let text = String(decoding: line.dropFirst(), as: UTF8.self)
        switch Unicode.Scalar(type) {
        case "+": return .simpleString(text)
        case "-": return .error(text)
        case ":":
            guard let number = Int(text) else { throw .malformedReply(":\(text)") }
            return .integer(number)
        case "_": return .null
        case "#" where text == "t" || text == "f": return .boolean(text == "t")
        case "$":
            guard let count = try length(text, limit: Limits.bulk) else { return .null }
            return .bulk(try bytes(count, deadline: deadline))
        case "*", ">":
            guard let count = try length(text, limit: values) else { return .null }
            var elements: [RESPValue] = []
            for _ in 0..<count {
                elements.append(try value(depth: depth + 1, values: &values, deadline: deadline))
            }
            return Unicode.Scalar(type) == "*" ? .array(elements) : .push(elements)
        case "%":
            guard let count = try length(text, limit: values / 2) else { return .null }
            var members: [RESPValue.Member] = []
            for _ in 0..<count {
                let key = try value(depth: depth + 1, values: &values, deadline: deadline)
                let value = try value(depth: depth + 1, values: &values, deadline: deadline)
                members.append(RESPValue.Member(key: key, value: value))
            }
            return .map(members)
        default:
            throw .malformedReply("a value of type \(type)")
        }
    }

    /// The announced length; nil for the null of RESP2.
    private func length(_ text: String, limit: Int) throws(ClientError) -> Int? {
        guard let length = Int(text), length >= -1 else {
            throw .malformedReply("a length of '\(text)'")
        }
        guard length <= limit else { throw .malformedReply("a length of \(length)") }
        return length == -1 ? nil : length
    }

    // MARK: Bytes

    /// Up to the next CRLF, without it.
    private mutating func line(deadline: Deadline) throws(ClientError) -> [UInt8] {
        var end = position
        while true {
            if let newline = buffer[end...].firstIndex(of: UInt8(ascii: "\n")) {
                guard newline > position, buffer[newline - 1] == UInt8(ascii: "\r") else {
                    throw .malformedReply("a line without CRLF")
                }
                defer { position = newline + 1 }
                return Array(buffer[position..<newline - 1])
            }
            end = buffer.count
            guard end - position <= Limits.line else { throw .malformedReply("an endless line") }
            try more(deadline: deadline)
        }
    }

    /// `count` bytes and the CRLF behind them, which is left out. Memory grows with what comes,
    /// not with what is announced.
    private mutating func bytes(
        _ count: Int, deadline: Deadline
    ) throws(ClientError) -> [UInt8] {
        while buffer.count - position < count + 2 { try more(deadline: deadline) }
        let end = position + count
        guard buffer[end] == UInt8(ascii: "\r"), buffer[end + 1] == UInt8(ascii: "\n") else {
            throw .malformedReply("a bulk string without CRLF")
        }
        defer { position = end + 2 }
        return Array(buffer[position..<end])
    }

    private mutating func more(deadline: Deadline) throws(ClientError) {
        guard try socket.receive(into: &buffer, deadline: deadline) else { throw .disconnected }
    }
}
