// How batond begins and ends: what it checks before it opens a socket, and what it says.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("13 Startup") struct Startup {
        let directory: ScratchDirectory

        init() throws {
            directory = try ScratchDirectory()
            for name in ["plugins", "state", "run"] { _ = try directory.makeDirectory(name) }
        }

        /// Runs a batond that is meant to refuse.
        private func run(
            state: String = "state", runtime: String = "run", _ more: String...
        ) throws -> Tool.Output {
            let path = directory.path
            let arguments = [
                "--plugins", "\(path)/plugins", "--state", "\(path)/\(state)",
                "--runtime", "\(path)/\(runtime)",
            ]
            return try Tool.run(Products.program("batond"), arguments + more, within: .patience)
        }

        @Test("A directory that is a link, or that others may write, is refused")
        func directories() throws {
            #expect(unsafe symlink("\(directory.path)/state", "\(directory.path)/link") == 0)
            let open = try directory.makeDirectory("open")
            #expect(unsafe chmod(open, 0o777) == 0)
            for refused in [
                try run(state: "link"), try run(runtime: "link"), try run(state: "open"),
                try run(runtime: "open"),
            ] {
                #expect(refused.exit == .code(69), "\(refused.error)")
                #expect(
                    refused.error.contains("symbolic link") || refused.error.contains("chmod o-w"),
                    "\(refused.error)")
            }
        }

        @Test("A runtime directory too long for a socket's address is refused, with the bound")
        func longPath() throws {
            let refused = try run(runtime: String(repeating: "long/", count: 20))
            #expect(refused.exit == .code(69), "\(refused.error)")
            #expect(refused.error.contains("107"), "\(refused.error)")
        }

        @Test("A socket's path that would be too long for a service is told, and nothing is begun")
        func longName() throws {
            let name = String(repeating: "n", count: 60)
            try directory.write(try Products.bytes("ping"), "plugins/\(name).so")
            let refused = try run(runtime: String(repeating: "r", count: 30))
            #expect(refused.exit == .code(69), "\(refused.error)")
            #expect(refused.error.contains("\(name).sock has"), "\(refused.error)")
            #expect(refused.error.contains("a shorter --runtime"), "\(refused.error)")
        }

        @Test("Two batonds do not share a runtime directory, whatever their states")
        func sharedRuntime() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let refused = try Tool.run(
                Products.program("batond"),
                [
                    "--plugins", "\(directory.path)/plugins", "--state", "\(directory.path)/state",
                    "--runtime", daemon.runtime.path,
                ])
            #expect(refused.exit == .code(69), "\(refused.error)")
            #expect(refused.error.contains("another --runtime"), "\(refused.error)")
            #expect(try daemon.call("ping", "ping") == "pong")
            // It is free when its batond is gone, however that ended.
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.call("ping", "ping") == "pong")
        }

        @Test("A state directory of a later format is refused, and nothing in it is changed")
        func laterFormat() throws {
            try directory.write(Data("baton-state 9\n".utf8), "state/format")
            let before = try FileManager.default.subpathsOfDirectory(
                atPath: "\(directory.path)/state")
            let refused = try run()
            #expect(refused.exit == .code(69), "\(refused.error)")
            #expect(refused.error.contains("baton-state 9"), "\(refused.error)")
            let after = try FileManager.default.subpathsOfDirectory(
                atPath: "\(directory.path)/state")
            // The lock alone is taken first, and nothing is written into it.
            #expect(Set(after).subtracting(before).isSubset(of: ["lock"]))
            let lock = FileManager.default.contents(atPath: "\(directory.path)/state/lock")
            #expect(lock?.isEmpty != false)
            let format = try String(
                contentsOfFile: "\(directory.path)/state/format", encoding: .utf8)
            #expect(format == "baton-state 9\n")
        }

        @Test("A feature that is not known is refused, unless it is compatible")
        func laterFeature() throws {
            let text = "baton-state 1\ncompatible small-print\nincompatible columns\n"
            try directory.write(Data(text.utf8), "state/format")
            let refused = try run()
            #expect(refused.exit == .code(69), "\(refused.error)")
            #expect(refused.error.contains("'incompatible columns'"), "\(refused.error)")
            let format = try String(
                contentsOfFile: "\(directory.path)/state/format", encoding: .utf8)
            #expect(format == text)
        }

        @Test("One mailbox of a later format: batond ends before it writes anything anywhere")
        func laterMailbox() throws {
            let daemon = try TestDaemon(plugins: "echo-c", "ping")
            for service in ["echo-c", "ping"] { _ = try daemon.call(service, "ping") }
            #expect(try daemon.stop() == .code(0))
            let path = "\(daemon.state)/mailboxes/ping/0000000001.segment"
            var segment = try Data(contentsOf: URL(filePath: path))
            segment[8] = 4
            let crc = Self.crc(segment[..<76])
            for index in 0..<4 { segment[76 + index] = UInt8(crc >> (8 * UInt32(index)) & 255) }
            try segment.write(to: URL(filePath: path))
            // A compatible feature is none of its business.
            let format = try FileHandle(forWritingTo: URL(filePath: "\(daemon.state)/format"))
            try format.seekToEnd()
            try format.write(contentsOf: Data("compatible small-print\n".utf8))
            let before = try contents(below: daemon.state)
            let refused = try Tool.run(Products.program("batond"), daemon.arguments)
            #expect(refused.exit == .code(69), "\(refused.error)")
            #expect(refused.error.contains("has format 4"), "\(refused.error)")
            #expect(refused.error.contains("knows up to format 3"), "\(refused.error)")
            #expect(try contents(below: daemon.state) == before)
        }

        /// Every file but the lock, which is taken first.
        private func contents(below path: String) throws -> [String: Data] {
            var all: [String: Data] = [:]
            for name in try FileManager.default.subpathsOfDirectory(atPath: path)
            where name != "lock" {
                all[name] = try? Data(contentsOf: URL(filePath: "\(path)/\(name)"))
            }
            return all
        }

        /// CRC32C, bit by bit.
        private static func crc(_ bytes: Data) -> UInt32 {
            ~bytes.reduce(~0 as UInt32) { crc, byte in
                (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in
                    crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1
                }
            }
        }

        @Test(
            "A directory of somebody else is refused",
            .enabled(if: geteuid() == 0, "needs root, to give one away"))
        func foreign() throws {
            for name in ["state", "run"] {
                let path = "\(directory.path)/\(name)"
                #expect(unsafe chown(path, 1234, 1234) == 0)
                let refused = try run()
                #expect(refused.exit == .code(69), "\(refused.error)")
                #expect(refused.error.contains("belongs to user 1234"), "\(refused.error)")
                #expect(unsafe chown(path, 0, 0) == 0)
            }
        }

        @Test("Socket files that a batond left, or anything else of their names, are replaced")
        func staleSockets() throws {
            let daemon = try TestDaemon(plugins: "ping")
            try daemon.killHard()
            let sockets = [
                daemon.runtime.messageSocket, daemon.runtime.controlSocket,
                daemon.runtime.serviceSocket("ping"),
            ]
            // As they were left; then as files, and with what a batond leaves that dies in between.
            for round in 1...2 {
                for socket in sockets {
                    #expect(FileManager.default.fileExists(atPath: socket))
                    if round == 2 {
                        #expect(unsafe unlink(socket) == 0)
                        for path in [socket, socket + ".new"] {
                            #expect(FileManager.default.createFile(atPath: path, contents: Data()))
                        }
                    }
                }
                try daemon.start()
                #expect(try daemon.lines("ping").ask("ping") == "pong")
                #expect(try daemon.baton("suspend", "ping").exit == .code(0))
                #expect(try daemon.baton("resume", "ping").exit == .code(0))
                try daemon.killHard()
            }
        }

        @Test(
            "A pipe in a file's place holds nobody up: batond, check and repair end, or do without it",
            arguments: ["format", "lock", "mailboxes/ping/checkpoint.a", "mailboxes/ping.removed"])
        func pipes(name: String) throws {
            let daemon = try TestDaemon(plugins: "ping", "counter")
            #expect(try daemon.call("ping", "ping") == "pong")
            try daemon.stop()
            let path = "\(daemon.state)/\(name)"
            _ = unsafe unlink(path)
            #expect(unsafe mkfifo(path, 0o600) == 0)
            for command in [["check"], ["repair", "ping", "--yes"]] {
                let words = [Products.program("baton")] + command + ["--state", daemon.state]
                let ended = try Tool.run("timeout", ["20"] + words)
                #expect(ended.exit != .code(124), "\(command): \(ended.error)")
            }
            let words = [Products.program("batond")] + daemon.arguments
            let ended = try Tool.run("timeout", ["3"] + words)
            // It has ended by itself, or ran and took the signal.
            #expect([.code(69), .code(124)].contains(ended.exit), "\(ended.error)")
            #expect(ended.exit == .code(69) || ended.error.contains("ready: "), "\(ended.error)")
        }

        @Test(
            "Too few descriptors for the services are told at once, and nothing is called damaged")
        func descriptors() throws {
            let daemon = try TestDaemon(plugins: "ping", "counter")
            #expect(try daemon.call("counter", "5") == "5")
            try daemon.stop()
            for count in [16, 20, 24, 28, 32, 40, 60, 79] {
                let words = ["--nofile=\(count):\(count)", Products.program("batond")]
                let refused = try Tool.run("prlimit", words + daemon.arguments)
                #expect(refused.exit == .code(69), "\(count): \(refused.error)")
                #expect(!refused.error.contains("damaged"), "\(count): \(refused.error)")
            }
            try daemon.start()
            #expect(try daemon.call("counter", "0") == "5")
        }

        @Test("The command line is checked: 64 for usage, and --check only looks")
        func commandLine() throws {
            #expect(try run("--frobnicate").exit == .code(64))
            #expect(try run("--log-level", "loud").exit == .code(64))
            for option in ["--state", "--runtime", "--plugins", "--config"] {
                let refused = try run(option, "")
                #expect(refused.exit == .code(64), "\(refused.error)")
                #expect(refused.error.contains("\(option) is empty"), "\(refused.error)")
            }
            #expect(try run("--config", "\(directory.path)/none.yaml").exit == .code(78))
            let check = try run("--check")
            #expect(check.exit == .code(0), "\(check.error)")
            let left = try FileManager.default.contentsOfDirectory(
                atPath: "\(directory.path)/state")
            #expect(left.isEmpty)
            let version = try Tool.run(Products.program("batond"), "--version")
            #expect(version.exit == .code(0) && !version.output.isEmpty)
        }

        @Test("SIGINT ends it in order, like SIGTERM")
        func interrupt() throws {
            let daemon = try TestDaemon(plugins: "counter")
            #expect(try daemon.call("counter", "5") == "5")
            daemon.signal(SIGINT)
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            #expect(try daemon.call("counter", "?") == "sum=5")
        }

        @Test("SIGTERM while a message hangs ends it in bounded time, and the message is kept")
        func stopWhileBusy() throws {
            let daemon = try TestDaemon(
                plugins: "faulty", configuration: "limits: {shutdown_timeout: 500ms}")
            #expect(try daemon.call("faulty", "first") == "first")
            #expect(try daemon.client.send("faulty", Array("sleep 2000".utf8)) == 2)
            try daemon.stop()
            try daemon.start()
            #expect(try daemon.call("faulty", "count") == "2")
        }

        @Test("A restart keeps sequence numbers, releases and upgrades counted")
        func restart() throws {
            let daemon = try TestDaemon(["stamp": Products.image("stamp")])
            #expect(try daemon.client.send("stamp", Array("a".utf8)) == 1)
            #expect(try daemon.reload(Stamp.image(2), as: "stamp").verdict == .upgraded)
            for round in 1...3 {
                if round == 2 { try daemon.killHard() } else { try daemon.stop() }
                try daemon.start()
                #expect(try daemon.client.send("stamp", Array("b".utf8)) == 2 * round)
                #expect(try daemon.call("stamp", "count") == "0002 count=\(2 * round)")
                let status = try daemon.status("stamp")
                #expect(status.upgrades == 1)
                #expect(status.version == Stamp.label(2))
                #expect(!status.diskVersionDiffers)
            }
        }

        @Test("A mailbox without its plugin keeps its messages until the plugin is back")
        func pluginGone() throws {
            let daemon = try TestDaemon(plugins: "counter")
            #expect(try daemon.call("counter", "5") == "5")
            try daemon.client.change(.suspend, "counter")
            #expect(try daemon.client.send("counter", Array("6".utf8)) == 2)
            try daemon.stop()
            // The image store has the release all the same.
            try FileManager.default.removeItem(atPath: "\(daemon.plugins)/counter.so")
            try daemon.start()
            #expect(try daemon.call("counter", "?") == "sum=11")
            // Without either it stops, is reported, and accepts.
            try daemon.stop()
            for image in try FileManager.default.contentsOfDirectory(
                atPath: "\(daemon.state)/images")
            {
                try FileManager.default.removeItem(atPath: "\(daemon.state)/images/\(image)")
            }
            try daemon.start()
            #expect(try daemon.status("counter").state == .stopped)
            #expect(try daemon.client.send("counter", Array("7".utf8)) == 4)
            #expect(
                try daemon.reload(Products.bytes("counter-2"), as: "counter").verdict
                    != .refused)
            #expect(try daemon.call("counter", "?") == "sum=18 count=1")
        }
    }
}
