// ClientError, CommandExit, RuntimeDirectory: what the operator sees and where it looks.

import BatonClient
import Testing

@Suite("Client errors and places")
struct ClientErrorTests {
    @Test(
        "each error code has its exit status",
        arguments: [
            ("NOSERVICE", CommandExit.noSuchService), ("UNAVAILABLE", .serviceNotRunning),
            ("TIMEOUT", .timedOut), ("REFUSED", .refused), ("CONFLICT", .refused),
            ("POISON", .refused), ("DENIED", .refused), ("TOOBIG", .refused), ("ERR", .refused),
        ])
    func errorCodes(code: String, status: CommandExit) {
        #expect(ClientError.refused(code: code, text: "").exitStatus == status)
    }

    @Test("a daemon that cannot be reached or understood has one exit status")
    func notReachable() {
        let errors: [ClientError] = [
            .noDaemon(path: "/x"), .notAllowed(path: "/x"), .pathTooLong(path: "/x", limit: 1),
            .disconnected, .malformedReply("x"),
        ]
        for error in errors { #expect(error.exitStatus == .daemonNotReachable) }
        #expect(ClientError.timedOut(after: .seconds(1)).exitStatus == .timedOut)
    }

    @Test("an error says what is wrong and the next step")
    func texts() {
        #expect(
            "\(ClientError.noDaemon(path: "/run/baton/baton.sock"))"
                == "no daemon at /run/baton/baton.sock: start it with 'systemctl start batond', "
                + "or name its directory with --runtime")
        let half = ClientError.timedOut(after: .milliseconds(500))
        #expect("\(half)".hasPrefix("no answer within 0.5 s"))
        let whole = ClientError.timedOut(after: .seconds(120))
        #expect("\(whole)".hasPrefix("no answer within 120 s"))
        #expect("\(ClientError.refused(code: "BUSY", text: "wait"))" == "BUSY wait")
    }

    @Test("the runtime directory is the one asked for, else the variable's, else the default")
    func runtimeDirectory() {
        func path(_ asked: String?, _ environment: [String: String], _ userID: UInt32) -> String {
            RuntimeDirectory(asked: asked, environment: environment, userID: userID).path
        }
        let variables = ["BATON_RUNTIME": "/b", "XDG_RUNTIME_DIR": "/run/user/7"]
        #expect(path("/a", variables, 7) == "/a")
        #expect(path(nil, variables, 7) == "/b")
        let empty = ["BATON_RUNTIME": "", "XDG_RUNTIME_DIR": "/run/user/7"]
        #expect(path(nil, empty, 7) == "/run/user/7/baton")
        #expect(path(nil, [:], 7) == "/tmp/baton-7")
        #expect(path(nil, ["XDG_RUNTIME_DIR": "/run/user/0"], 0) == "/run/baton")
        #expect(RuntimeDirectory(path: "/a").messageSocket == "/a/baton.sock")
        #expect(RuntimeDirectory(path: "/a").controlSocket == "/a/control.sock")
        #expect(RuntimeDirectory(path: "/a").serviceSocket("ping") == "/a/services/ping.sock")
    }
}
