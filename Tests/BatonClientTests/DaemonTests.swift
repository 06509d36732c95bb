// Daemon: each command as it goes over the socket.

import BatonClient
import Foundation
import Testing

@Suite("Daemon")
struct DaemonTests {
    /// Runs `ask` in a thread of its own while the daemon waits for its command, and answers.
    private func exchange<Answer: Sendable>(
        socket: String, answer: String,
        _ ask: @escaping @Sendable (Daemon) -> Result<Answer, ClientError>
    ) throws -> (request: String, answer: Result<Answer, ClientError>) {
        let scripted = try ScriptedDaemon.start(socket: socket)
        let daemon = Daemon(runtime: RuntimeDirectory(path: scripted.directory))
        let box = AnswerBox<Answer>()
        Thread.detachNewThread { box.put(ask(daemon)) }
        let connection = try scripted.acceptWaiting()
        let request = connection.receivedWaiting()
        connection.answer(answer)
        return (request, box.take())
    }

    @Test("a call carries its timeout, and its reply is bytes")
    func call() throws {
        let (request, answer) = try exchange(socket: "baton.sock", answer: "$2\r\n\r\n\r\n") {
            daemon in
            Result { () throws(ClientError) in
                try daemon.call("ping", Array("hi".utf8), timeout: .milliseconds(1500))
            }
        }
        #expect(
            request
                == "*5\r\n$4\r\nCALL\r\n$4\r\nping\r\n$2\r\nhi\r\n$7\r\nTIMEOUT\r\n$4\r\n1500\r\n")
        #expect(answer == .success([13, 10]))
    }

    @Test("an error reply is thrown with its code and text")
    func errorReply() throws {
        let (_, answer) = try exchange(
            socket: "baton.sock", answer: "-NOSERVICE no service 'x'\r\n"
        ) { daemon in Result { () throws(ClientError) in try daemon.send("x", []) } }
        #expect(answer == .failure(.refused(code: "NOSERVICE", text: "no service 'x'")))
    }

    @Test("an upgrade goes to control.sock with its image and force")
    func upgrade() throws {
        let (request, answer) = try exchange(socket: "control.sock", answer: "$2\r\n{}\r\n") {
            daemon in
            Result { () throws(ClientError) in
                try daemon.upgrade("ping", image: "/a b.so", force: true).json
            }
        }
        #expect(
            request
                == "*5\r\n$7\r\nUPGRADE\r\n$4\r\nping\r\n$5\r\nIMAGE\r\n$7\r\n/a b.so\r\n$5\r\nFORCE\r\n"
        )
        #expect(answer == .success(Array("{}".utf8)))
    }

    @Test("dead letters are redelivered by number, or all, and counted")
    func dispose() throws {
        let (one, count) = try exchange(socket: "control.sock", answer: ":1\r\n") { daemon in
            Result { () throws(ClientError) in
                try daemon.dispose(.redeliver, of: 17, in: "ping")
            }
        }
        #expect(one == "*3\r\n$9\r\nREDELIVER\r\n$4\r\nping\r\n$2\r\n17\r\n")
        #expect(count == .success(1))
        let (all, _) = try exchange(socket: "control.sock", answer: ":0\r\n") { daemon in
            Result { () throws(ClientError) in
                try daemon.dispose(.discard, of: nil, in: "ping")
            }
        }
        #expect(all == "*3\r\n$7\r\nDISCARD\r\n$4\r\nping\r\n$3\r\nALL\r\n")
    }

    @Test("a change is done when the daemon says so")
    func change() throws {
        let (request, answer) = try exchange(socket: "control.sock", answer: "+OK\r\n") { daemon in
            Result { () throws(ClientError) in
                try daemon.change(.suspend, "ping")
                return true
            }
        }
        #expect(request == "*2\r\n$7\r\nSUSPEND\r\n$4\r\nping\r\n")
        #expect(answer == .success(true))
    }
}

/// Hands one answer from a thread to the test.
private final class AnswerBox<Answer: Sendable>: @unchecked Sendable {
    // Sendable because `condition` guards `answer`.
    private let condition = NSCondition()
    private var answer: Result<Answer, ClientError>?

    func put(_ answer: Result<Answer, ClientError>) {
        condition.withLock {
            self.answer = answer
            condition.signal()
        }
    }

    func take() -> Result<Answer, ClientError> {
        condition.withLock {
            while true {
                if let answer { return answer }
                condition.wait()
            }
        }
    }
}
