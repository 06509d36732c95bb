// Candidates that cannot take over: refused with the cause, and the running version never noticed.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("60 Refusals") struct Refusals {
        /// Bounds short enough to wait for.
        private static let bounds = """
            limits:
              prepare_timeout: 2s
              migrate_timeout: 1s
            """

        let daemon: TestDaemon
        let client: LineClient

        init() throws {
            daemon = try TestDaemon(plugins: "faulty", configuration: Self.bounds)
            client = try daemon.lines("faulty")
            for word in ["some", "state", "here"] { _ = try client.ask(word) }
        }

        /// The old version has its state and its process, and the candidate is gone.
        private func expectUntouched(
            host: Int?, handled: Int, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            #expect(try client.ask("count") == "\(handled)", sourceLocation: sourceLocation)
            #expect(try client.ask("version") == "1", sourceLocation: sourceLocation)
            let status = try daemon.status("faulty")
            #expect(status.pid == host, sourceLocation: sourceLocation)
            #expect(status.state == .running, sourceLocation: sourceLocation)
            #expect(status.upgrades == 0 && status.restarts == 0, sourceLocation: sourceLocation)
            try wait(for: "the candidate's end") {
                ProcessTable.children(of: daemon.pid) == host.map { [pid_t($0)] }
            }
        }

        @Test("A path with a NUL in it is none, though what is before it is an image")
        func nulInPath() throws {
            let daemon = try TestDaemon(plugins: "ping")
            let image = try daemon.directory.write(Products.bytes("ping-2"), "second.so")
            let client = try LineClient(path: daemon.runtime.path + "/control.sock")
            let path = image + "\0junk"
            let words = ["UPGRADE", "ping", "IMAGE", path]
            let text = words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
            try client.send("*4\r\n" + text)
            #expect(try client.line()?.hasPrefix("-ERR IMAGE takes ") == true)
            #expect(try daemon.status("ping").version == "1")
        }

        @Test(
            "A candidate that fails in prepare is refused, its cause named, its exit status 1",
            arguments: [
                ("faulty-constructor", "constructor"),
                ("faulty-start", "in start"),
                ("faulty-migration", "cannot migrate from 1"),
                ("faulty-abi", "ABI"),
                ("faulty-symbol", "baton_service"),
            ])
        func prepare(image: String, cause: String) throws {
            let host = try daemon.status("faulty").pid
            let upgrade = try daemon.baton("upgrade", "faulty", "--image", Products.image(image))
            #expect(upgrade.exit == .code(1))
            #expect(upgrade.error.contains(cause), "\(upgrade.error)")
            let verdict = try #require(try daemon.status("faulty").lastUpgrade)
            #expect(verdict.verdict == .refused)
            #expect(verdict.phase == "prepare")
            #expect(verdict.reason?.contains(cause) == true, "\(verdict.reason ?? "no reason")")
            try expectUntouched(host: host, handled: 3)
        }

        @Test("A candidate that hangs in start is refused in time; meanwhile the old one answers")
        func hang() throws {
            let host = try daemon.status("faulty").pid
            let image = Products.image("faulty-hang")
            let control = daemon.client
            let upgrade = Background { try control.upgrade("faulty", image: image).decoded() }
            try wait(for: "prepare") { try daemon.status("faulty").phase == "prepare" }
            #expect(try client.ask("count") == "3")
            #expect(try daemon.status("faulty").state == .upgrading)
            #expect(!upgrade.isOver)
            let verdict = try upgrade.value()
            #expect(verdict.verdict == .refused)
            #expect(verdict.phase == "prepare")
            #expect(verdict.reason?.contains("within 2") == true, "\(verdict.reason ?? "")")
            try expectUntouched(host: host, handled: 4)
        }

        @Test(
            "A candidate that hangs with the last state is refused in load; every message is answered"
        )
        func load() throws {
            let host = try daemon.status("faulty").pid
            // A message is in hand all the time, so the state that prepare saw is not the last.
            try client.send(String(repeating: "sleep 100\n", count: 15))
            let verdict = try daemon.upgrade("faulty", to: Products.image("faulty-load"))
            #expect(verdict.verdict == .refused)
            #expect(verdict.phase == "load")
            #expect(verdict.reason?.contains("within 1") == true, "\(verdict.reason ?? "")")
            #expect(try client.lines(15) == Array(repeating: "slept", count: 15))
            try expectUntouched(host: host, handled: 18)
        }

        @Test("A candidate that is killed in prepare is refused, and the signal named")
        func killed() throws {
            let host = try #require(try daemon.status("faulty").pid)
            let image = Products.image("faulty-hang")
            let control = daemon.client
            let upgrade = Background { try control.upgrade("faulty", image: image).decoded() }
            var candidate: pid_t?
            try wait(for: "the candidate") {
                candidate = ProcessTable.children(of: daemon.pid).first { $0 != host }
                return candidate != nil
            }
            if let candidate { _ = kill(candidate, SIGKILL) }
            let verdict = try upgrade.value()
            #expect(verdict.verdict == .refused)
            #expect(verdict.reason?.contains("signal 9") == true, "\(verdict.reason ?? "")")
            try expectUntouched(host: host, handled: 3)
        }

        @Test("A constructor that hangs is refused in time; meanwhile the old one answers")
        func hangingConstructor() throws {
            let daemon = try TestDaemon(configuration: Self.bounds)
            _ = try daemon.reload(Trial.first.image(), as: "trial")
            try daemon.install(Trial.second("hang-constructor").image(), as: "trial")
            let control = daemon.client
            let reload = Background { try control.reload().decoded() }
            let client = try daemon.lines("trial")
            while !reload.isOver { #expect(try client.ask("version") == "1") }
            let verdict = try #require(try reload.value().first)
            #expect(verdict.verdict == .refused && verdict.phase == "prepare")
            #expect(verdict.reason?.contains("within 2") == true, "\(verdict.reason ?? "")")
        }

        @Test("A file that is no image is refused, whatever it is")
        func noImage() throws {
            let host = try daemon.status("faulty").pid
            let directory = daemon.directory
            let image = try Products.bytes("faulty")
            var paths = [
                "half": try directory.write(image.prefix(image.count / 2), "half.so"),
                "head": try directory.write(image.prefix(100), "head.so"),
                "a page": try directory.write(image.prefix(4096), "page.so"),
                "empty": try directory.write(Data(), "empty.so"),
                "text": try directory.write(Data("not an image\n".utf8), "text.so"),
                "a program": Products.program("baton"),
                "directory": try directory.makeDirectory("directory.so"),
                "device": "/dev/null",
                "missing": "\(directory.path)/missing.so",
            ]
            let link = "\(directory.path)/link.so"
            #expect(unsafe symlink(Products.image("faulty-abi"), link) == 0)
            paths["link"] = link
            let fifo = "\(directory.path)/fifo.so"
            #expect(unsafe mkfifo(fifo, 0o644) == 0)
            paths["fifo"] = fifo
            let open = try directory.write(image + Data("open".utf8), "open.so")
            #expect(unsafe chmod(open, 0o777) == 0)
            paths["writable by all"] = open

            for (what, path) in paths.sorted(by: { $0.key < $1.key }) {
                let upgrade = try daemon.baton("upgrade", "faulty", "--image", path)
                #expect(upgrade.exit == .code(1), "\(what): \(upgrade.output)")
                #expect(upgrade.error.contains("refused in prepare: "), "\(what): \(upgrade.error)")
            }
            try expectUntouched(host: host, handled: 3)
        }

        @Test("A library that is missing is named")
        func missingLibrary() throws {
            var image = try Products.bytes("faulty")
            let name = Data("libc.so.6\0".utf8)
            let found = try #require(image.range(of: name))
            image.replaceSubrange(found, with: Data("libx.so.6\0".utf8))
            let path = try daemon.directory.write(image, "missing.so")
            let upgrade = try daemon.baton("upgrade", "faulty", "--image", path)
            #expect(upgrade.exit == .code(1))
            #expect(upgrade.error.contains("libx.so.6"), "\(upgrade.error)")
        }

        @Test("A reload with one bad image among good ones exits with 1, and takes the good ones")
        func reload() throws {
            try daemon.install(Products.image("ping"), as: "ping")
            try daemon.install(Products.image("faulty-symbol"), as: "faulty")
            let reload = try daemon.baton("reload")
            #expect(reload.exit == .code(1))
            #expect(reload.output.contains("ping") && reload.error.contains("faulty"))
            #expect(try daemon.call("ping", "ping") == "pong")
            #expect(try client.ask("version") == "1")
            // Said again each time, until the file is another.
            #expect(try daemon.baton("reload").exit == .code(1))
            try daemon.install(Products.image("faulty"), as: "faulty")
            #expect(try daemon.baton("reload").exit == .code(0))
        }

        @Test(
            "A service whose first image is bad is reported; batond is ready, and a good one starts it"
        )
        func firstImage() throws {
            let daemon = try TestDaemon([
                "faulty": Products.image("faulty-constructor"), "ping": Products.image("ping"),
            ])
            #expect(try daemon.call("ping", "ping") == "pong")
            let status = try daemon.status("faulty")
            #expect(status.state == .stopped)
            #expect(status.reason?.contains("constructor") == true, "\(status.reason ?? "")")
            #expect(try daemon.client.send("faulty", Array("kept".utf8)) == 1)
            let verdict = try daemon.reload(Products.bytes("faulty"), as: "faulty")
            #expect(verdict.verdict == .started)
            #expect(try daemon.call("faulty", "count") == "1")
        }

        @Test("counter does not go back to a format it cannot read")
        func downgrade() throws {
            let daemon = try TestDaemon(["counter": Products.image("counter-3")])
            #expect(try daemon.call("counter", "5") == "5")
            let back = try daemon.baton("upgrade", "counter", "--image", Products.image("counter"))
            #expect(back.exit == .code(1))
            #expect(back.error.contains("format 3"), "\(back.error)")
            #expect(try daemon.call("counter", "?") == "sum=5 count=1 mean=5.0")
        }

        @Test("The exit status of baton tells what happened")
        func exitStatus() throws {
            #expect(try daemon.baton("status").exit == .code(0))
            #expect(try daemon.baton("status", "faulty", "--json").exit == .code(0))
            #expect(try daemon.baton("call", "faulty", "hello").output == "hello\n")
            #expect(try daemon.baton("send", "faulty", "hello").output == "5\n")
            #expect(try daemon.baton("upgrade", "faulty").exit == .code(0))
            #expect(try daemon.baton("suspend", "faulty").exit == .code(0))
            #expect(try daemon.baton("resume", "faulty").exit == .code(0))
            #expect(try daemon.baton("purge", "faulty").exit == .code(0))
            #expect(try daemon.baton("versions", "faulty").exit == .code(0))

            #expect(try daemon.baton("call", "faulty", "fail NO not now").exit == .code(1))
            for verb in ["call", "send"] {
                #expect(try daemon.baton(verb, "nobody", "hello").exit == .code(4))
            }
            for verb in ["upgrade", "suspend", "resume", "purge", "versions", "status"] {
                #expect(try daemon.baton(verb, "nobody").exit == .code(4), "\(verb)")
            }
            #expect(try daemon.baton("frobnicate").exit == .code(64))
            #expect(try daemon.baton("call").exit == .code(64))
            #expect(try daemon.baton("status", "--colour").exit == .code(64))
            let late = try daemon.baton("call", "faulty", "sleep 1000", "--timeout", "0.05")
            #expect(late.exit == .code(75), "\(late.error)")

            let nobody = "\(daemon.directory.path)/nobody"
            let unreachable = try Tool.run(
                Products.program("baton"), "status", "--runtime", nobody)
            #expect(unreachable.exit == .code(69))
            #expect(unreachable.error.contains(nobody))
        }

        @Test("A configuration with a mistake is refused with its line, before anything happens")
        func configuration() throws {
            let file = try daemon.directory.write(
                Data("durability: commit\nlimits:\n  suspend_timeot: 5s\n".utf8), "wrong.yaml")
            let refused = try Tool.run(
                Products.program("batond"), daemon.arguments + ["--config", file])
            #expect(refused.exit == .code(78), "\(refused.error)")
            #expect(
                refused.error.contains("wrong.yaml:3") && refused.error.contains("suspend_timeot"),
                "\(refused.error)")
        }
    }
}
