// A disk that fails, is slow, turns read-only, or does not give back what it was given; files that may not
// grow. All of it for real, most of it on the disk of Tests/powercut.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("36 Disk trouble") struct DiskTrouble {
        private static let needsPowerDisk = PowerDisk.obstacle(.ext4)

        /// The code with which something is refused; nil if it is not.
        private static func refusal(_ body: () throws -> Void) throws -> String? {
            do { try body() } catch ClientError.refused(let code, _) { return code }
            return nil
        }

        /// A daemon whose state is on a disk of its own.
        private final class Ground {
            let daemon: TestDaemon
            let disk: PowerDisk
            var accepted = 0

            init(configuration: String? = nil) throws {
                daemon = try TestDaemon(configuration: configuration)
                try daemon.stop()
                try daemon.install(Products.image("ledger"), as: "ledger")
                try daemon.install(Products.image("ping"), as: "ping")
                disk = try PowerDisk(.ext4, mebibytes: 64, at: daemon.state)
                try disk.mount()
                try daemon.start()
            }

            deinit {
                try? daemon.killHard()
                try? disk.unmount()
            }

            /// SENDs the next number, which must be taken.
            func send() throws {
                let message = LedgerTalk.message(0, accepted + 1)
                _ = try daemon.client.send("ledger", Array(message.utf8))
                accepted += 1
            }

            func expectKept(sourceLocation: SourceLocation = #_sourceLocation) throws {
                #expect(
                    try daemon.call("ledger", "state") == "\(accepted) 0 0 0 0 0 0 0",
                    sourceLocation: sourceLocation)
            }

            /// SENDs while the disk fails: no receipt, and batond ends with 74. The message may be kept
            /// nevertheless, so each time it is another client's first.
            func failToSend(as client: Int = 1) throws {
                let message = Array(LedgerTalk.message(client, 1).utf8)
                do {
                    _ = try daemon.client.send("ledger", message)
                    Issue.record("a receipt for what is on no disk")
                } catch {}
                #expect(try daemon.end() == .code(74))
            }

            /// The disk is put right. What is read from it then was on it: nothing comes out of memory.
            func mendDisk() throws {
                try disk.unmount()
                try disk.tell("flushes 0")
                try disk.mount()
            }

            /// Every file of the state, its bytes with it.
            func files() throws -> [String: Data] {
                let names = try FileManager.default.subpathsOfDirectory(atPath: daemon.state)
                return Dictionary(
                    uniqueKeysWithValues: names.map {
                        (
                            $0,
                            FileManager.default.contents(atPath: "\(daemon.state)/\($0)") ?? Data()
                        )
                    })
            }

            /// Nothing new is taken, and batond says so.
            func expectReadOnly() throws {
                let status = try daemon.client.status().decoded()
                #expect(status.state == "read_only")
                #expect(status.services.map(\.state) == [.readOnly, .readOnly])
                #expect(try daemon.status("ledger").state == .readOnly)
                for service in ["ledger", "ping"] {
                    let code = try DiskTrouble.refusal {
                        _ = try daemon.client.send(service, Array("1 1".utf8))
                    }
                    #expect(code == "READONLY")
                    #expect(try daemon.lines(service).line()?.hasPrefix("-READONLY ") == true)
                }
                let reload = try daemon.baton("reload")
                #expect(reload.exit == .code(1))
                #expect(reload.error.contains("batond writes nothing"), "\(reload.error)")
            }
        }

        @Test(
            "A failed sync: nothing is acknowledged, batond ends; the second time it is read-only",
            .enabled(if: needsPowerDisk == nil, "\(needsPowerDisk ?? "")"))
        func failedSync() throws {
            let ground = try Ground()
            let daemon = ground.daemon
            for _ in 1...20 { try ground.send() }
            try ground.disk.tell("flushes 1")
            try ground.failToSend()

            // The first time: from the disk, and all is well.
            try ground.mendDisk()
            try daemon.start()
            #expect(try daemon.call("ledger", "state").hasPrefix("20 "))
            try ground.send()

            // The second: the recovery of the batond after it fails, too, and the next one does not try.
            try ground.disk.tell("flushes 1")
            try ground.failToSend(as: 2)
            try daemon.start()
            let before = try ground.files()
            try ground.expectReadOnly()
            #expect(daemon.logText.contains("the disk has failed 2 times in a row"))
            // It does not forget by a crash, and writes nothing.
            try daemon.killHard()
            try daemon.start()
            try ground.expectReadOnly()
            #expect(try ground.files() == before)

            // An end in order is the operator's word that the disk is well.
            #expect(try daemon.stop() == .code(0))
            try ground.mendDisk()
            try daemon.start()
            #expect(try daemon.call("ping", "ping") == "pong")
            #expect(try daemon.call("ledger", "state").hasPrefix("21 "))
        }

        @Test(
            "A sync that fails in the recovery ends batond, too, and it ends up read-only",
            .enabled(if: needsPowerDisk == nil, "\(needsPowerDisk ?? "")"))
        func failedRecovery() throws {
            let ground = try Ground()
            let daemon = ground.daemon
            for _ in 1...20 { try ground.send() }
            try daemon.killHard()
            try ground.disk.tell("flushes 1")
            // Twice, or once, if the file system has turned read-only by then.
            var failures = 0
            while failures <= 2 {
                try daemon.launch()
                do { try daemon.waitUntilReady() } catch {
                    #expect(try daemon.end() == .code(74), "\(error)")
                    failures += 1
                    continue
                }
                break
            }
            #expect(1...2 ~= failures)
            try ground.expectReadOnly()
            #expect(try daemon.stop() == .code(0))
            try ground.mendDisk()
            try daemon.start()
            try ground.expectKept()
        }

        @Test(
            "A file system that turns read-only: nothing is acknowledged, and then it is read-only",
            .enabled(if: needsPowerDisk == nil, "\(needsPowerDisk ?? "")"))
        func readOnlyFileSystem() throws {
            let ground = try Ground()
            let daemon = ground.daemon
            for _ in 1...20 { try ground.send() }
            // What ext4 does with itself at an error, with `errors=remount-ro`.
            try FileSystem.run(["mount", "-o", "remount,abort", daemon.state])
            try ground.failToSend()
            try daemon.start()
            try ground.expectReadOnly()
            #expect(try daemon.stop() == .code(0))

            try ground.disk.unmount()
            try ground.disk.mount()
            try daemon.start()
            #expect(try daemon.call("ledger", "state").hasPrefix("20 "))
        }

        @Test(
            "A slow sync: held, told, bounded by BUSY; then all is answered",
            .enabled(if: needsPowerDisk == nil, "\(needsPowerDisk ?? "")"))
        func slowSync() throws {
            let ground = try Ground(configuration: "limits: {unsynced_bytes: 64 KiB}")
            let daemon = ground.daemon
            try ground.send()
            let lines = try daemon.lines("ledger")
            #expect(try lines.ask("1 1") == "1")
            try ground.disk.tell("slow 4000")
            try lines.send("1 2\n")
            try wait(for: "the warning") { daemon.logText.contains("the disk is slow") }

            // What comes now is written and waits, as much as may.
            var isBusy = false
            var waiting: [Background<Int>] = []
            let client = daemon.client
            for _ in 1...100 where !isBusy {
                let filler = String(repeating: "x", count: 4000)
                let message = Array("2 \(waiting.count + 1) \(filler)".utf8)
                let sent = Background { try client.send("ledger", message) }
                try wait(for: "its turn") {
                    let written = try daemon.status("ledger").appended
                    if written > waiting.count + 3 { return true }
                    return sent.isOver
                }
                if sent.isOver {
                    #expect(try Self.refusal { _ = try sent.value() } == "BUSY")
                    isBusy = true
                } else {
                    waiting.append(sent)
                }
            }
            #expect(isBusy && waiting.count > 10)
            // A line client is held up rather than refused.
            let held = try daemon.lines("ledger")
            try held.send("3 1\n")

            try ground.disk.tell("slow 0")
            #expect(try lines.line() == "2")
            for each in waiting { #expect(try each.value() > 0) }
            #expect(try held.line() == "1")
            try ground.send()
            #expect(try daemon.call("ledger", "state") == "2 2 \(waiting.count) 1 0 0 0 0")
            #expect(daemon.logText.contains("the sync has come after"))
        }

        @Test(
            "What the disk does not give back quarantines its service alone",
            .enabled(if: needsPowerDisk == nil, "\(needsPowerDisk ?? "")"))
        func readError() throws {
            let ground = try Ground()
            let daemon = ground.daemon
            for _ in 1...20 { try ground.send() }
            _ = try daemon.client.send("ledger", Array("rotten-sector-rotten-sector".utf8))
            for _ in 1...20 { try ground.send() }
            try daemon.killHard()
            // Or what is read comes out of memory.
            try ground.disk.unmount()
            try ground.disk.tell("rot rotten-sector")
            try ground.disk.mount()
            let before = try FileManager.default.contentsOfDirectory(
                atPath: "\(daemon.state)/mailboxes/ledger")
            try daemon.start()
            let status = try daemon.status("ledger")
            #expect(status.state == .quarantined)
            #expect(status.reason?.contains("0000000001.segment") == true, "\(status.reason ?? "")")
            #expect(status.reason?.contains("cannot be read") == true)
            #expect(try daemon.lines("ledger").line()?.hasPrefix("-UNAVAILABLE ") == true)
            #expect(try daemon.call("ping", "ping") == "pong")
            #expect(try daemon.stop() == .code(0))
            #expect(
                try FileManager.default.contentsOfDirectory(
                    atPath: "\(daemon.state)/mailboxes/ledger") == before)

            // The sector is readable again, and nothing is lost.
            try ground.disk.unmount()
            try ground.disk.tell("rot")
            try ground.disk.mount()
            try daemon.start()
            try ground.expectKept()
        }

        @Test(
            "Files that may not grow: READONLY until they may",
            .enabled(if: !Products.areSanitized, "a sanitizer makes files of its own"))
        func fileSizeLimit() throws {
            let daemon = try TestDaemon(plugins: "ledger", "ping")
            try daemon.stop()
            let prlimit = try #require(Tool.find("prlimit"))
            daemon.prefix = [prlimit, "--fsize=300000:"]
            try daemon.start()
            var accepted = 0
            func send() throws -> Bool {
                do throws(ClientError) {
                    _ = try daemon.client.send(
                        "ledger", Array(LedgerTalk.message(0, accepted + 1).utf8))
                } catch {
                    guard case .refused("READONLY", _) = error else { throw error }
                    return false
                }
                accepted += 1
                return true
            }
            var isReadOnly = false
            for _ in 1...20_000 where !isReadOnly { isReadOnly = try !send() }
            #expect(isReadOnly)
            #expect(try daemon.call("ping", "ping") == "pong")
            let unlimited = try Tool.run(prlimit, "--pid", "\(daemon.pid)", "--fsize=unlimited:")
            #expect(unlimited.exit == .code(0), "\(unlimited.error)")
            try wait(for: "room") { try send() }
            #expect(try daemon.call("ledger", "state") == "\(accepted) 0 0 0 0 0 0 0")
            for said in ["read-only: new messages are refused", "messages are taken again"] {
                #expect(daemon.logText.contains(said))
            }
        }
    }
}
