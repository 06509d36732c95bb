// EventStream: a subscription to the daemon's events. Runs in baton and in tests.

/// Events from the moment at which it is made, in order, until the daemon ends.
package struct EventStream: ~Copyable {
    private var connection: RESPConnection

    package init(
        _ runtime: RuntimeDirectory, deadline: Deadline = Deadline(after: .seconds(10))
    ) throws(ClientError) {
        var connection = try RESPConnection(path: runtime.messageSocket, deadline: deadline)
        let reply = try connection.call("SUBSCRIBE", "events", deadline: deadline)
        if case .error(let text) = reply { throw ClientError(errorReply: text) }
        guard reply == .array([.text("subscribe"), .text("events"), .integer(1)]) else {
            throw .malformedReply("\(reply) for SUBSCRIBE")
        }
        self.connection = connection
    }

    /// The next event, when it comes.
    package mutating func next(deadline: Deadline) throws(ClientError) -> Report<ServiceEvent> {
        let message = try connection.receive(deadline: deadline)
        guard case .array(let parts) = message, parts.count == 3, parts[0] == .text("message"),
            case .bulk(let json) = parts[2]
        else { throw .malformedReply("\(message) for an event") }
        return Report(json: json)
    }
}

extension RESPValue {
    /// A bulk string of text.
    fileprivate static func text(_ text: String) -> RESPValue { .bulk(Array(text.utf8)) }
}
