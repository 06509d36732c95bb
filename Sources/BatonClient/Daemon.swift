// Daemon: every command of batond as a function. Runs in baton and in tests.

import BatonCore
import BatonWire

/// A batond, by its runtime directory. Each function opens a connection of its own, and waits for
/// its answer no longer than `patience`.
package struct Daemon: Sendable {
    package let runtime: RuntimeDirectory

    package init(runtime: RuntimeDirectory) {
        self.runtime = runtime
    }

    // MARK: Messages

    /// What an id has at most.
    package static let idBytes = FixedLimits.idBytes

    /// The reply to `message`. The daemon gives up after `timeout`; so that its own answer is the
    /// one seen, this side waits a little longer.
    /// - Parameter id: sent again with the same one, the message is not handled again.
    package func call(
        _ service: String, _ message: [UInt8], id: String? = nil, timeout: Duration = .seconds(30)
    ) throws(ClientError) -> [UInt8] {
        let milliseconds = max(1, Int(timeout / .milliseconds(1)))
        let arguments =
            [
                Array("CALL".utf8), Array(service.utf8), message, Array("TIMEOUT".utf8),
                Array("\(milliseconds)".utf8),
            ] + Self.option(id)
        return try bulk(
            ask(runtime.messageSocket, arguments, patience: timeout + .seconds(2)))
    }

    /// The sequence number of `message`, once it is durable.
    package func send(
        _ service: String, _ message: [UInt8], id: String? = nil,
        patience: Duration = .seconds(30)
    ) throws(ClientError) -> Int {
        let arguments = [Array("SEND".utf8), Array(service.utf8), message] + Self.option(id)
        let reply = try ask(runtime.messageSocket, arguments, patience: patience)
        guard case .integer(let sequence) = reply else {
            throw .malformedReply("\(reply) for SEND")
        }
        return sequence
    }

    private static func option(_ id: String?) -> [[UInt8]] {
        id.map { [Array("ID".utf8), Array($0.utf8)] } ?? []
    }

    // MARK: Questions

    package func status(
        patience: Duration = .seconds(10)
    ) throws(ClientError) -> Report<DaemonStatus> {
        Report(json: try bulk(ask(runtime.messageSocket, ["STATUS"], patience: patience)))
    }

    package func status(
        _ service: String, patience: Duration = .seconds(10)
    ) throws(ClientError) -> Report<ServiceStatus> {
        Report(json: try bulk(ask(runtime.messageSocket, ["STATUS", service], patience: patience)))
    }

    package func explain(
        _ service: String, patience: Duration = .seconds(10)
    ) throws(ClientError) -> Report<ServiceExplanation> {
        Report(
            json: try bulk(ask(runtime.messageSocket, ["EXPLAIN", service], patience: patience)))
    }

    package func mailbox(
        _ service: String, patience: Duration = .seconds(10)
    ) throws(ClientError) -> Report<MailboxStatus> {
        Report(
            json: try bulk(ask(runtime.messageSocket, ["MAILBOX", service], patience: patience)))
    }

    package func deadLetters(
        _ service: String, patience: Duration = .seconds(10)
    ) throws(ClientError) -> Report<[DeadLetterStatus]> {
        let arguments = ["MAILBOX", service, "DEAD"]
        return Report(json: try bulk(ask(runtime.messageSocket, arguments, patience: patience)))
    }

    // MARK: Changes

    /// Upgrades every service whose file changed; answers when each has its verdict.
    package func reload(
        dryRun: Bool = false, wait: Bool = false, patience: Duration = .seconds(120)
    ) throws(ClientError) -> Report<[ServiceVerdict]> {
        var options = UpgradeOptions()
        options.isDryRun = dryRun
        options.waits = wait
        let arguments = ["RELOAD"] + options.words
        return Report(json: try bulk(ask(runtime.controlSocket, arguments, patience: patience)))
    }

    /// Upgrades one service, to the file of the plugin directory or to `image`, an absolute path.
    /// - Parameter rehearse: so many settled messages in the shadow first, of which `allow` replies
    ///   may differ; as the configuration says if nil.
    /// - Parameter wait: until the release is confirmed or rolled back.
    package func upgrade(
        _ service: String, image: String? = nil, force: Bool = false, rehearse: Int? = nil,
        allow: Int? = nil, dryRun: Bool = false, wait: Bool = false,
        patience: Duration = .seconds(120)
    ) throws(ClientError) -> Report<ServiceVerdict> {
        var options = UpgradeOptions()
        options.image = image
        options.force = force
        options.rehearse = rehearse
        options.allow = allow
        options.isDryRun = dryRun
        options.waits = wait
        let arguments = ["UPGRADE", service] + options.words
        return Report(json: try bulk(ask(runtime.controlSocket, arguments, patience: patience)))
    }

    /// Goes back to the version before.
    package func rollback(
        _ service: String, force: Bool = false, patience: Duration = .seconds(120)
    ) throws(ClientError) -> Report<ServiceVerdict> {
        let arguments = ["ROLLBACK", service] + (force ? ["FORCE"] : [])
        return Report(json: try bulk(ask(runtime.controlSocket, arguments, patience: patience)))
    }

    /// What can be done with dead letters.
    package enum Disposal: String, Sendable {
        case redeliver = "REDELIVER"
        case discard = "DISCARD"
    }

    /// - Parameter sequence: of the dead letter; all of them if nil.
    /// - Returns: how many it was done with.
    package func dispose(
        _ disposal: Disposal, of sequence: UInt64?, in service: String,
        patience: Duration = .seconds(30)
    ) throws(ClientError) -> Int {
        let choice = sequence.map(DeadLetterChoice.one) ?? .all
        let arguments = [disposal.rawValue, service, choice.word]
        let reply = try ask(runtime.controlSocket, arguments, patience: patience)
        guard case .integer(let count) = reply else {
            throw .malformedReply("\(reply) for \(disposal.rawValue)")
        }
        return count
    }

    /// The verbs that change a service and have nothing to tell but that they did.
    package enum Change: String, Sendable {
        case suspend = "SUSPEND"
        case resume = "RESUME"
        case purge = "PURGE"
        case confirm = "CONFIRM"
    }

    package func change(
        _ change: Change, _ service: String, patience: Duration = .seconds(30)
    ) throws(ClientError) {
        let reply = try ask(
            runtime.controlSocket, [change.rawValue, service], patience: patience)
        guard case .simpleString = reply else {
            throw .malformedReply("\(reply) for \(change.rawValue)")
        }
    }

    // MARK: One question

    private func ask(
        _ socket: String, _ arguments: [String], patience: Duration
    ) throws(ClientError) -> RESPValue {
        try ask(socket, arguments.map { Array($0.utf8) }, patience: patience)
    }

    private func ask(
        _ socket: String, _ arguments: [[UInt8]], patience: Duration
    ) throws(ClientError) -> RESPValue {
        let deadline = Deadline(after: patience)
        var connection = try RESPConnection(path: socket, deadline: deadline)
        let reply = try connection.call(arguments, deadline: deadline)
        guard case .error(let text) = reply else { return reply }
        throw ClientError(errorReply: text)
    }

    private func bulk(_ reply: RESPValue) throws(ClientError) -> [UInt8] {
        guard case .bulk(let bytes) = reply else {
            throw .malformedReply("\(reply) instead of a bulk string")
        }
        return bytes
    }
}
