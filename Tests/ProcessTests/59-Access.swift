// Who may talk to a service: users that are not allowed are closed unread, on either socket.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension TestDaemon {
    /// Lets the group of the test's user come to the sockets, whose mode lets it in.
    func openToGroup() throws {
        for path in [directory.path, runtime.path, "\(runtime.path)/services"] {
            guard unsafe chmod(path, 0o755) == 0 else { throw SystemError.last("open \(path)") }
        }
    }

    /// One message of another user, who is in the test's own group.
    func askAs(user: Int, groups: String = "0", _ service: String, _ message: String) throws
        -> Tool.Output
    {
        try Self.say(
            message + "\n", as: user, groups: groups, to: runtime.serviceSocket(service))
    }

    static func say(_ text: String, as user: Int, groups: String, to path: String) throws
        -> Tool.Output
    {
        try Tool.run(
            "setpriv", "--reuid=\(user)", "--regid=0", "--groups=\(groups)", "socat", "-t5", "-",
            "UNIX-CONNECT:\(path)", input: text)
    }

    /// A command on baton.sock, and all that comes back.
    func ask(_ command: String) throws -> String {
        let client = try LineClient(path: runtime.messageSocket)
        try client.send(command + "\r\n")
        client.endInput()
        return String(decoding: try client.rest(), as: UTF8.self)
    }
}

extension Processes {
    @Suite("59 Access", .enabled(if: geteuid() == 0, "needs root, to be somebody else"))
    struct Access {
        @Test("Users and groups that are not listed are refused, closed unread, and told of")
        func lists() throws {
            let daemon = try TestDaemon(
                plugins: "counter", "ping",
                configuration: """
                    services:
                      counter: { allow_users: [1234, daemon], allow_groups: [4321] }
                    """)
            try daemon.openToGroup()
            #expect(try daemon.askAs(user: 1234, "counter", "1").output == "1\n")
            #expect(try daemon.askAs(user: 1, "counter", "1").output == "2\n")
            #expect(try daemon.askAs(user: 65534, groups: "0,4321", "counter", "1").output == "3\n")
            // Root, who could do anything anyway.
            #expect(try daemon.call("counter", "1") == "4")
            // One that only reads: who writes finds the socket closed.
            let refused = try Tool.run(
                "setpriv", "--reuid=65534", "--regid=0", "--clear-groups", "socat", "-u",
                "UNIX-CONNECT:\(daemon.runtime.serviceSocket("counter"))", "-")
            #expect(refused.output.hasPrefix("-DENIED user 65534 "), "\(refused.output)")
            // Not by the other socket either, neither messages nor what is in the mailbox.
            for command in [
                "CALL counter 1", "SEND counter 1", "STATUS counter", "MAILBOX counter",
            ] {
                let refused = try TestDaemon.say(
                    command + "\r\n", as: 65534, groups: "0", to: daemon.runtime.messageSocket)
                #expect(refused.output.hasPrefix("-DENIED "), "\(command): \(refused.output)")
            }
            #expect(try daemon.call("counter", "0") == "4")
            // Another service is another matter.
            #expect(try daemon.askAs(user: 65534, "ping", "ping").output == "pong\n")
            #expect(daemon.logText.contains("user 65534 "))
            #expect(try daemon.client.status().decoded().clients?.refusedDenied == 5)
        }

        @Test(
            "Who is listed needs no group of batond's: the list alone decides, also after a reload")
        func strangers() throws {
            let daemon = try TestDaemon(
                plugins: "counter", "ping",
                configuration: "services: { counter: { allow_users: [1234] } }\n")
            try daemon.openToGroup()
            func ask(_ service: String, _ text: String, as user: Int) throws -> String {
                try Tool.run(
                    "setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "socat",
                    "-t5", "-", "UNIX-CONNECT:\(daemon.runtime.serviceSocket(service))",
                    input: text + "\n"
                ).output
            }
            #expect(try ask("counter", "1", as: 1234) == "1\n")
            #expect(try !ask("counter", "1", as: 1235).hasPrefix("1"))
            // Where there is no list the mode decides.
            #expect(try ask("ping", "ping", as: 1234).isEmpty)
            try daemon.configure("services: { ping: { allow_users: [1234] } }\n")
            _ = try daemon.client.reload()
            #expect(try ask("ping", "ping", as: 1234) == "pong\n")
            #expect(try ask("counter", "1", as: 1234).isEmpty)
            #expect(try daemon.call("counter", "0") == "1")
        }

        @Test("A reload that takes somebody off the list closes his connections")
        func reload() throws {
            let daemon = try TestDaemon(
                plugins: "ping", configuration: "services: { ping: { allow_users: [65534] } }\n")
            try daemon.openToGroup()
            let socket = daemon.runtime.serviceSocket("ping")
            let end = Background {
                try Tool.run(
                    "setpriv", "--reuid=65534", "--regid=0", "--clear-groups", "timeout", "30",
                    "socat", "-u", "UNIX-CONNECT:\(socket)", "-")
            }
            try wait(for: "his connection") { try daemon.status("ping").connections == 1 }
            try daemon.configure("services: { ping: { allow_users: [1234] } }\n")
            _ = try daemon.client.reload()
            #expect(try daemon.status("ping").connections == 0)
            #expect(try end.value().exit == .code(0))
        }

        @Test("A name that nobody has is a mistake of the configuration")
        func unknown() throws {
            let directory = try ScratchDirectory()
            let file = try directory.write(
                Data("services: { ping: { allow_users: [no-such-user] } }\n".utf8), "batond.yaml")
            let check = try Tool.run(Products.program("batond"), "--config", file, "--check")
            #expect(check.exit == .code(78))
            #expect(check.error.contains("there is no user 'no-such-user'"), "\(check.error)")
        }
    }
}
