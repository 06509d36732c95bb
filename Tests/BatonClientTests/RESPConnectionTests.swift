// RESPConnection: replies of every kind, cut off, malformed, late or never.

import BatonClient
import Testing

@Suite("RESP connection")
struct RESPConnectionTests {
    private static let soon = Duration.seconds(5)

    /// What a client makes of `script`, which the daemon sends before it closes the connection.
    private func reply(to script: String) throws -> Result<RESPValue, ClientError> {
        let daemon = try ScriptedDaemon.start()
        var client = try RESPConnection(
            path: daemon.socketPath, deadline: Deadline(after: Self.soon))
        do {
            let connection = try daemon.accept()
            connection.answer(script)
        }
        do {
            return .success(try client.receive(deadline: Deadline(after: Self.soon)))
        } catch {
            return .failure(error)
        }
    }

    @Test(
        "each type of reply is understood",
        arguments: [
            ("+OK\r\n", RESPValue.simpleString("OK")),
            ("-NOSERVICE no service 'x'\r\n", .error("NOSERVICE no service 'x'")),
            (":42\r\n", .integer(42)), (":-1\r\n", .integer(-1)),
            ("$4\r\npong\r\n", .bulk(Array("pong".utf8))), ("$0\r\n\r\n", .bulk([])),
            ("$4\r\n\r\n\r\n\r\n", .bulk([13, 10, 13, 10])),
            ("$-1\r\n", .null), ("*-1\r\n", .null), ("_\r\n", .null),
            ("#t\r\n", .boolean(true)), ("#f\r\n", .boolean(false)),
            ("*0\r\n", .array([])),
            ("*2\r\n:1\r\n*1\r\n+a\r\n", .array([.integer(1), .array([.simpleString("a")])])),
            ("%1\r\n+a\r\n:1\r\n", .map([.init(key: .simpleString("a"), value: .integer(1))])),
        ])
    func types(script: String, expected: RESPValue) throws {
        #expect(try reply(to: script) == .success(expected))
    }

    @Test(
        "what is no reply is an error, whatever it announces",
        arguments: [
            "HTTP/1.1 400 Bad Request\r\n\r\n", "\r\n", "+OK\n", "\n", ":x\r\n", ":\r\n", "#x\r\n",
            "$x\r\n", "$-2\r\n", "$99999999999999999999\r\n", "$999999999999999\r\n",
            "$1\r\nabc\r\n",
            "*999999999999\r\n", "*-2\r\n", "%-7\r\n", "%9223372036854775807\r\n",
            String(repeating: "*1\r\n", count: 100), "+" + String(repeating: "x", count: 70_000),
        ])
    func malformed(script: String) throws {
        guard case .failure(.malformedReply) = try reply(to: script) else {
            Issue.record("\(script.prefix(40)) was taken for a reply")
            return
        }
    }

    @Test(
        "a connection that ends too soon is an error",
        arguments: ["", "+O", "+OK\r", "$4\r\npo", "$4\r\npong", "*2\r\n:1\r\n", "$1000000\r\nx"])
    func cutOff(script: String) throws {
        #expect(try reply(to: script) == .failure(.disconnected))
    }

    @Test("a command is sent as an array of bulk strings, and replies come in order")
    func pipelined() throws {
        let daemon = try ScriptedDaemon.start()
        let deadline = Deadline(after: Self.soon)
        var client = try RESPConnection(path: daemon.socketPath, deadline: deadline)
        let connection = try daemon.accept()
        try client.send([Array("CALL".utf8), Array("ping".utf8), [13, 10]], deadline: deadline)
        try client.send([Array("PING".utf8)], deadline: deadline)
        #expect(
            connection.received()
                == "*3\r\n$4\r\nCALL\r\n$4\r\nping\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPING\r\n")
        connection.answer("$1\r\na\r\n+PO")
        #expect(try client.receive(deadline: deadline) == .bulk([UInt8(ascii: "a")]))
        connection.answer("NG\r\n")
        #expect(try client.receive(deadline: deadline) == .simpleString("PONG"))
    }

    @Test("a reply that was sent before the daemon closed the connection is still seen")
    func refusedAndClosed() throws {
        let daemon = try ScriptedDaemon.start()
        let deadline = Deadline(after: Self.soon)
        var client = try RESPConnection(path: daemon.socketPath, deadline: deadline)
        do {
            let connection = try daemon.accept()
            connection.answer("-TOOBIG too much: send less\r\n")
        }
        let large = [UInt8](repeating: 0, count: 4 << 20)
        let reply = try client.call([large], deadline: deadline)
        #expect(reply == .error("TOOBIG too much: send less"))
    }

    @Test("a daemon that does not answer is given up at the deadline")
    func deadline() throws {
        let daemon = try ScriptedDaemon.start()
        var client = try RESPConnection(
            path: daemon.socketPath, deadline: Deadline(after: Self.soon))
        let patience = Duration.milliseconds(20)
        #expect(throws: ClientError.timedOut(after: patience)) {
            _ = try client.call("PING", deadline: Deadline(after: patience))
        }
        // Neither is a request that nobody reads waited for.
        let large = [UInt8](repeating: 0, count: 4 << 20)
        #expect(throws: ClientError.timedOut(after: patience)) {
            try client.send([large], deadline: Deadline(after: patience))
        }
    }

    @Test("where no daemon is, the error says so")
    func nobody() {
        let path = "/tmp/baton-client-nobody/baton.sock"
        #expect(throws: ClientError.noDaemon(path: path)) {
            _ = try RESPConnection(path: path, deadline: Deadline(after: Self.soon))
        }
        let long = "/" + String(repeating: "x", count: 107)
        #expect(throws: ClientError.pathTooLong(path: long, limit: 107)) {
            _ = try RESPConnection(path: long, deadline: Deadline(after: Self.soon))
        }
    }
}
