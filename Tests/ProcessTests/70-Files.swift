// The plugin directory: what happens to its files while they run.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("70 Files") struct Files {
        let daemon: TestDaemon

        init() throws {
            daemon = try TestDaemon(["stamp": Products.image("stamp")])
        }

        @Test("Overwriting the image in place harms nothing; the next SIGHUP takes the new bytes")
        func overwrite() throws {
            let client = try daemon.lines("stamp")
            #expect(try client.ask("one") == "0001 one")
            let handle = try FileHandle(
                forUpdating: URL(filePath: "\(daemon.plugins)/stamp.so"))
            // First rubbish, as long as the image, then another image: the same file all the time.
            let image = try Stamp.image(2)
            handle.write(Data(repeating: 0xff, count: image.count))
            for number in 1...1000 { #expect(try client.ask("\(number)") == "0001 \(number)") }
            try daemon.reloadBySignal()
            #expect(try daemon.status("stamp").lastUpgrade?.verdict == .refused)
            #expect(try client.ask("two") == "0001 two")
            try handle.seek(toOffset: 0)
            handle.write(image)
            try handle.close()
            #expect(try client.ask("three") == "0001 three")
            try daemon.reloadBySignal()
            #expect(try client.ask("count") == "0002 count=1003")
        }

        @Test("An emptied file changes nothing, and without any the release boots")
        func removed() throws {
            let path = "\(daemon.plugins)/stamp.so"
            #expect(try daemon.call("stamp", "one") == "0001 one")
            #expect(unsafe truncate(path, 0) == 0)
            #expect(try daemon.call("stamp", "two") == "0001 two")
            try daemon.reloadBySignal()
            #expect(try daemon.call("stamp", "three") == "0001 three")
            #expect(try daemon.stop() == .code(0))
            try FileManager.default.removeItem(atPath: path)
            try daemon.start()
            #expect(try daemon.call("stamp", "count") == "0001 count=3")
        }

        @Test("SIGHUP without a change does nothing")
        func unchanged() throws {
            let before = try daemon.status("stamp")
            for _ in 1...3 { try daemon.reloadBySignal() }
            // The same bytes in another file are the same image.
            try daemon.install(Products.image("stamp"), as: "stamp")
            try daemon.reloadBySignal()
            let after = try daemon.status("stamp")
            #expect(after.pid == before.pid)
            #expect(after.upgrades == before.upgrades)
            #expect(after.oldPid == nil)
            #expect(try daemon.upgrade("stamp").verdict == .current)
            #expect(try daemon.baton("reload").exit == .code(0))
        }

        @Test("A hundred SIGHUPs, each after a new image, end in the newest version")
        func hundred() throws {
            let before = daemon.notifications.count
            let images = try (2...101).map(Stamp.image)
            for image in images {
                try daemon.install(image, as: "stamp")
                daemon.signal(SIGHUP)
            }
            // Each reload ends with READY=1; after the last that there is, the newest must run.
            var seen = before
            while try daemon.status("stamp").version != Stamp.label(101) {
                seen = try daemon.notification("READY=1", from: seen)
            }
            #expect(try daemon.call("stamp", "count") == "0101 count=0")
            // A purged host ends by itself, and nobody waits for it.
            try wait(for: "the end of the purged host") {
                ProcessTable.children(of: daemon.pid).count <= 2
            }
        }

        @Test("An image in a directory that everybody may write to is refused, but for one like /tmp")
        func foreignDirectory() throws {
            let folder = try daemon.directory.makeDirectory("open")
            let image = "\(folder)/next.so"
            try Stamp.image(2).write(to: URL(filePath: image))
            #expect(unsafe chmod(image, 0o755) == 0)
            #expect(unsafe chmod(folder, 0o777) == 0)
            let refused = try daemon.upgrade("stamp", to: image)
            #expect(refused.verdict == .refused)
            #expect(refused.reason?.contains("chmod o-w") == true, "\(refused)")
            #expect(unsafe chmod(folder, 0o1777) == 0)
            #expect(try daemon.upgrade("stamp", to: image).verdict == .upgraded)
        }

        @Test("A file that is no service's is left out and told; one that comes is taken at reload")
        func strangers() throws {
            try daemon.install(Products.image("ping"), as: "Not-A-Name")
            try daemon.install(Products.image("echo-c"), as: "echo")
            try Data("nothing".utf8).write(to: URL(filePath: "\(daemon.plugins)/README"))
            let verdicts = try daemon.client.reload().decoded()
            #expect(verdicts.map(\.service) == ["echo", "stamp"])
            #expect(try daemon.call("echo", "hello") == "hello")
            #expect(daemon.logText.contains("Not-A-Name.so"))
        }

        @Test("A plugin directory that cannot be read makes the reload fail, and nothing else")
        func directoryGone() throws {
            let away = "\(daemon.plugins).away"
            #expect(unsafe rename(daemon.plugins, away) == 0)
            let reload = try daemon.baton("reload")
            #expect(reload.exit == .code(1), "\(reload.output)\(reload.error)")
            #expect(reload.error.contains(daemon.plugins), "\(reload.error)")
            #expect(try daemon.call("stamp", "still") == "0001 still")
            #expect(unsafe rename(away, daemon.plugins) == 0)
            #expect(try daemon.baton("reload").exit == .code(0))
        }

        @Test("The state directory keeps the images in use and a few more, however many there were")
        func imageStore() throws {
            for version in 2...20 {
                #expect(try daemon.reload(Stamp.image(version), as: "stamp").verdict == .upgraded)
            }
            let kept = try FileManager.default.contentsOfDirectory(atPath: "\(daemon.state)/images")
            #expect(kept.filter { $0.hasSuffix(".so") }.count <= 8, "\(kept)")
            #expect(try daemon.stop() == .code(0))
            try daemon.start()
            #expect(try daemon.call("stamp", "count") == "0020 count=0")
        }
    }
}
