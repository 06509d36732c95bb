// The configuration file while batond runs: read again by each reload, wholly checked before anything
// is changed.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension TestDaemon {
    /// Writes another configuration file in the place of the one it was started with.
    func configure(_ text: String) throws {
        try directory.write(Data(text.utf8), "batond.yaml")
    }
}

extension Processes {
    @Suite("26 Configuration") struct ConfigurationFiles {
        @Test("A reload takes what changed in the file: durability, limits, restart settings")
        func live() throws {
            let daemon = try TestDaemon(plugins: "faulty", configuration: "durability: none\n")
            #expect(try daemon.call("faulty", "one") == "one")
            #expect(try daemon.status("faulty").durability == "none")
            try daemon.configure(
                """
                limits: { suspend_timeout: 200ms, restarts: 0 }
                services:
                  faulty: { durability: commit }
                """)
            #expect(try daemon.baton("reload").exit == .code(0))
            #expect(try daemon.status("faulty").durability == "commit")
            #expect(try daemon.call("faulty", "count") == "1")

            let client = try daemon.lines("faulty")
            try daemon.occupy("faulty", client, with: "sleep 1000")
            let other = try daemon.directory.write(
                Products.bytes("faulty") + Data("other".utf8), "other.so")
            let busy = try daemon.upgrade("faulty", to: other)
            #expect(busy.reason?.contains("200 ms") == true, "\(busy.reason ?? "")")
            #expect(try client.line() == "slept")

            // No restart is allowed any more.
            try client.send("crash\n")
            try wait(for: "the stop") { try daemon.status("faulty").state == .stopped }
            try daemon.configure("limits: { restarts: 3 }\n")
            try daemon.reloadBySignal()
            try daemon.client.change(.resume, "faulty")
            // The message that crashes it is a dead letter after three attempts.
            #expect(try client.line()?.hasPrefix("-POISON") == true)
            #expect(try daemon.status("faulty").restarts > 0)
        }

        @Test("Without handle_timeout a message takes as long as it takes; with one, that long")
        func handleTimeout() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { handle_timeout: 0 }\n")
            let client = try daemon.lines("faulty")
            #expect(try client.ask("sleep 500") == "slept")
            try daemon.configure("limits: { handle_timeout: 300ms }\n")
            _ = try daemon.client.reload()
            #expect(try client.ask("sleep 2000").hasPrefix("-POISON"))
            #expect(try daemon.status("faulty").restarts == 3)
        }

        @Test("A probation that is under way takes the length that a reload gives it")
        func probation() throws {
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")], configuration: "probation: 1h\n")
            #expect(try daemon.call("stamp", "a") == "0001 a")
            #expect(try daemon.reload(Stamp.image(2), as: "stamp").release == "provisional")
            #expect(try daemon.status("stamp").confirmedVersion == "0001")
            try daemon.configure("services: { stamp: { probation: 100ms } }\n")
            _ = try daemon.client.reload()
            try wait(for: "the confirmation") { try daemon.status("stamp").release == "confirmed" }
            #expect(try daemon.status("stamp").confirmedVersion == "0002")
        }

        /// Sends to `faulty`, which is suspended, until its mailbox takes nothing more.
        /// - Returns: how many messages it took.
        @discardableResult
        private func fill(_ daemon: TestDaemon) throws -> Int {
            var byteCount = 256 << 10
            var sent = 0
            while byteCount > 0 {
                do throws(ClientError) {
                    _ = try daemon.client.send("faulty", [UInt8](repeating: 120, count: byteCount))
                    sent += 1
                } catch {
                    #expect("\(error)".contains("BUSY"))
                    byteCount /= 2
                }
                guard sent < 100 else { throw Failure("the mailbox is never full") }
            }
            return sent
        }

        @Test("A limit that is raised lets those in who waited at it")
        func raised() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { mailbox_bytes: 1 MiB }\n")
            try daemon.client.change(.suspend, "faulty")
            let sent = try fill(daemon)
            // A line client is held up instead, and goes on by itself.
            let client = try daemon.lines("faulty")
            try client.send("held up\n")
            try daemon.configure("limits: { mailbox_bytes: 8 MiB }\n")
            _ = try daemon.client.reload()
            try wait(for: "its message") { try daemon.status("faulty").appended == sent + 1 }
            try daemon.client.change(.resume, "faulty")
            #expect(try client.line() == "held up")
            // One that is lowered holds for those who come.
            try daemon.configure("limits: { connections: 1 }\n")
            _ = try daemon.client.reload()
            #expect(try daemon.lines("faulty").line()?.hasPrefix("-BUSY") == true)
        }

        @Test("What follows a reload on its connection is executed, not what clients wait to send")
        func behindReload() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: { mailbox_bytes: 1 MiB }\n")
            try daemon.client.change(.suspend, "faulty")
            try fill(daemon)
            // What the mailbox cannot take is kept, and looked at again by a reload.
            let client = try daemon.lines("faulty")
            let message = String(repeating: "SHUTDOWN ", count: 2000)
            try client.send(message + "\n")
            let control = try LineClient(path: daemon.runtime.controlSocket)
            for number in 1...20 {
                try control.send("RELOAD\r\nPING \(number)-is-the-operators\r\n")
                let lines = try control.lines(4)
                #expect(lines[1].contains("faulty"), "\(lines)")
                #expect(lines[3].hasPrefix("\(number)-is-the-operators"), "\(lines)")
            }
            try daemon.client.change(.resume, "faulty")
            #expect(try client.line() == message)
        }

        @Test("The log's level changes with the file, unless the command line has said it")
        func logLevel() throws {
            let daemon = try TestDaemon(plugins: "ping", configuration: "log_level: error\n")
            func halfALine() throws {
                let client = try daemon.lines("ping")
                try client.send("half")
                client.endInput()
                #expect(try client.remainingLines() == [])
            }
            try halfALine()
            #expect(!daemon.logText.contains("debug: "))
            try daemon.configure("log_level: debug\n")
            try daemon.reloadBySignal()
            try halfALine()
            try wait(for: "the line of the log") {
                daemon.logText.contains("debug: a client ended")
            }
        }

        @Test(
            "A number in base 60, as YAML had them, is none, however large: refused, and it serves on"
        )
        func baseSixty() throws {
            let daemon = try TestDaemon(
                ["ping": Products.image("ping")], configuration: "probation: 5s\n")
            for number in ["1:30", "92233720368547:58:07:99:99:99:99", "-9223372036854775809"] {
                try daemon.configure("probation: \(number)\n")
                let reload = try daemon.baton("reload")
                #expect(reload.exit == .code(1))
                #expect(reload.error.contains("a time up to a day"), "\(reload.error)")
                #expect(try daemon.call("ping", "ping") == "pong")
            }
        }

        @Test(
            "A file with a mistake refuses the reload, names its line, and changes nothing at all")
        func mistake() throws {
            let daemon = try TestDaemon(
                ["stamp": Products.image("stamp")], configuration: "durability: interval\n")
            let client = try daemon.lines("stamp")
            #expect(try client.ask("a") == "0001 a")
            try daemon.configure("durability: commit\nlimits:\n  restarts: several\n")
            try daemon.install(Stamp.image(2), as: "stamp")
            try daemon.install(Products.image("ping"), as: "ping")
            let reload = try daemon.baton("reload")
            #expect(reload.exit == .code(1))
            #expect(
                reload.error.contains("batond.yaml:3") && reload.error.contains("from 0 to 1000"),
                "\(reload.error)")
            #expect(try client.ask("b") == "0001 b")
            #expect(try daemon.status("stamp").durability == "interval")
            #expect(throws: ClientError.self) { try daemon.status("ping") }
            #expect(try daemon.client.status().decoded().state == "running")

            // By signal the same, and systemd is told that the reload is over, and how.
            let before = daemon.notifications.count
            try daemon.reloadBySignal()
            let told = daemon.notifications.all.dropFirst(before).joined(separator: "\n")
            #expect(told.contains("reload refused") && told.contains("batond.yaml:3"), "\(told)")

            try daemon.configure("durability: commit\n")
            #expect(try daemon.baton("reload").exit == .code(0))
            #expect(try client.ask("c") == "0002 c")
            #expect(try daemon.status("stamp").durability == "commit")
            #expect(try daemon.call("ping", "ping") == "pong")
        }

        @Test(
            "A key that cannot change while batond runs refuses the reload, and is named",
            arguments: [
                ("state: /tmp/elsewhere", "state", 1), ("runtime: /tmp/elsewhere", "runtime", 1),
                ("limits:\n  message_bytes: 2 MiB", "message_bytes", 2),
                ("limits:\n  state_bytes: 2 MiB", "state_bytes", 2),
            ])
        func needsRestart(text: String, key: String, line: Int) throws {
            let daemon = try TestDaemon(plugins: "ping", configuration: "durability: none\n")
            try daemon.configure(text + "\n")
            let reload = try daemon.baton("reload")
            // What the command line says has precedence, then and now.
            if key == "state" || key == "runtime" {
                #expect(reload.exit == .code(0), "\(reload.error)")
                return
            }
            #expect(reload.exit == .code(1))
            #expect(
                reload.error.contains("batond.yaml:\(line): \(key) needs a restart"),
                "\(reload.error)")
            #expect(try daemon.status("ping").durability == "none")
            try daemon.stop()
            try daemon.start()
            #expect(try daemon.status("ping").durability == "commit")
        }

        @Test("The file itself: gone, no file, or anybody's to write, it refuses the reload")
        func files() throws {
            let daemon = try TestDaemon(plugins: "ping", configuration: "durability: none\n")
            let path = "\(daemon.directory.path)/batond.yaml"
            func refused(_ part: String) throws {
                let reload = try daemon.baton("reload")
                #expect(reload.exit == .code(1))
                #expect(
                    reload.error.contains(path) && reload.error.contains(part), "\(reload.error)")
                #expect(try daemon.call("ping", "ping") == "pong")
            }
            #expect(unsafe chmod(path, 0o666) == 0)
            try refused("chmod o-w")
            #expect(unsafe unlink(path) == 0)
            try refused("No such file")
            #expect(unsafe mkfifo(path, 0o644) == 0)
            try refused("not a regular file")
            #expect(unsafe unlink(path) == 0)
            #expect(unsafe mkdir(path, 0o755) == 0)
            try refused("not a regular file")
            #expect(unsafe rmdir(path) == 0)
            // A link is followed: a configuration often is one.
            let target = try daemon.directory.write(
                Data("durability: interval\n".utf8), "real.yaml")
            #expect(unsafe symlink(target, path) == 0)
            #expect(try daemon.baton("reload").exit == .code(0))
            #expect(try daemon.status("ping").durability == "interval")
        }

        @Test("A group that names no service, or one twice, is a mistake, at the start and later")
        func groups() throws {
            let daemon = try TestDaemon(
                plugins: "ping", "counter", configuration: "durability: none")
            let unknown = """
                groups:
                  all:
                    strategy: one_for_all
                    services: [ping, counter,
                      other]
                """
            try daemon.configure(unknown)
            let reload = try daemon.baton("reload")
            #expect(reload.exit == .code(1))
            #expect(reload.error.contains("batond.yaml:5: there is no service 'other'"))
            let check = try Tool.run(Products.program("batond"), daemon.arguments + ["--check"])
            #expect(check.exit == .code(78))
            #expect(check.error.contains("batond.yaml:5: there is no service 'other'"))
            try daemon.configure(unknown.replacingOccurrences(of: "other", with: "ping"))
            let twice = try daemon.baton("reload")
            #expect(twice.error.contains("batond.yaml:5") && twice.error.contains("once"))
            try daemon.stop()
            #expect(throws: Failure.self) { try daemon.start() }
            // A service that comes with the same reload is there.
            try daemon.configure("durability: none")
            try daemon.start()
            try daemon.install(Products.image("ping"), as: "other")
            try daemon.configure(unknown)
            #expect(try daemon.baton("reload").exit == .code(0))
        }
    }
}
