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

        @Test("Other bytes in a file of the same size and time are seen")
        func sameSizeAndTime() throws {
            let path = "\(daemon.plugins)/stamp.so"
            var before = stat()
            #expect(unsafe stat(path, &before) == 0)
            try daemon.install(Stamp.image(2), as: "stamp")
            let times = [before.st_atim, before.st_mtim]
            #expect(unsafe utimensat(AT_FDCWD, path, times, 0) == 0)
            var after = stat()
            #expect(unsafe stat(path, &after) == 0)
            #expect(after.st_size == before.st_size)
            #expect(
                after.st_mtim.tv_sec == before.st_mtim.tv_sec
                    && after.st_mtim.tv_nsec == before.st_mtim.tv_nsec)
            #expect(try daemon.reload()["stamp"]?.verdict == .upgraded)
            #expect(try daemon.call("stamp", "seen") == "0002 seen")
        }

        @Test("A half-written file is refused as such; the complete one then works")
        func halfWritten() throws {
            let client = try daemon.lines("stamp")
            let image = try Stamp.image(2)
            let file = try FileHandle(forWritingTo: URL(filePath: "\(daemon.plugins)/stamp.so"))
            try file.truncate(atOffset: 0)
            for part in [100, 4096, image.count / 2, image.count - 1] {
                try file.write(contentsOf: image[Int(file.offset())..<part])
                let verdict = try daemon.reload()["stamp"]
                #expect(verdict?.verdict == .refused, "\(part) bytes")
                #expect(
                    verdict?.reason?.contains("stamp.so") == true
                        && verdict?.reason?.contains("cut short") == true,
                    "\(part) bytes: \(verdict?.reason ?? "")")
                #expect(try client.ask("\(part)") == "0001 \(part)")
            }
            try file.write(contentsOf: image.suffix(1))
            try file.close()
            #expect(try daemon.reload()["stamp"]?.verdict == .upgraded)
            #expect(try client.ask("count") == "0002 count=4")
        }

        @Test(
            "What is no file of an operator's is refused with what it is; the running version stays"
        )
        func odd() throws {
            if geteuid() == 0 {
                // Not even root may read what it has no right to.
                let setpriv = try #require(Tool.find("setpriv"))
                daemon.prefix = [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
                try daemon.stop()
                try daemon.start()
            }
            let path = "\(daemon.plugins)/stamp.so"
            let client = try daemon.lines("stamp")
            func expectRefusal(_ reason: String, of image: Data? = nil, _ make: () -> Int32) throws
            {
                try daemon.install(try Stamp.image(2), as: "stamp")
                #expect(make() == 0, "\(reason)")
                let reload = try daemon.baton("reload")
                #expect(reload.exit == .code(1), "\(reason): \(reload.output)")
                #expect(
                    reload.error.contains("stamp.so") && reload.error.contains(reason),
                    "\(reload.error)")
                #expect(try client.ask("stays") == "0001 stays")
                try FileManager.default.removeItem(atPath: path)
            }
            try expectRefusal("is not a regular file") {
                unsafe unlink(path) + mkfifo(path, 0o644)
            }
            try expectRefusal("is not a regular file") {
                unsafe unlink(path) + mkdir(path, 0o755)
            }
            try expectRefusal("is a symbolic link") {
                unsafe unlink(path) + symlink(Products.image("stamp"), path)
            }
            try expectRefusal("is a symbolic link") {
                unsafe unlink(path) + symlink("/nonexistent", path)
            }
            try expectRefusal("Permission denied") { unsafe chmod(path, 0) }
            try expectRefusal("chmod o-w") { unsafe chmod(path, 0o757) }
            if geteuid() == 0 {
                try expectRefusal("belongs to user 12345") { unsafe chown(path, 12345, 0) }
                #expect(unsafe chown(daemon.plugins, 12345, 0) == 0)
                let reload = try daemon.baton("reload")
                #expect(reload.exit == .code(1))
                #expect(reload.error.contains("foreign"), "\(reload.error)")
                #expect(unsafe chown(daemon.plugins, 0, 0) == 0)
            }
            try daemon.install(Stamp.image(2), as: "stamp")
            #expect(try daemon.baton("reload").exit == .code(0))
            #expect(try client.ask("upgraded") == "0002 upgraded")
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

        @Test(
            "An image in a directory that everybody may write to is refused, but for one like /tmp")
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
