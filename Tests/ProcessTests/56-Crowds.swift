// Very many clients: there are places for so many, for each user and in all; those who do nothing cost
// little, those who work have their turn, and the services keep what they need.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("56 Crowds") struct Crowds {
        private static let idle = 10_000
        private static let active = 1000
        private static let hasDescriptors = raiseDescriptorLimit() > idle + active + 1000

        @Test(
            "Ten thousand idle clients and a thousand that work: each has its replies, memory is bounded",
            .enabled(if: hasDescriptors, "needs a limit of 12,000 descriptors (ulimit -Hn)"))
        func tenThousand() throws {
            let daemon = try TestDaemon(
                plugins: "echo-c", "ping",
                configuration: "limits: {connections: 12000, connections_per_uid: 12000}\n")
            let neighbour = try Neighbour(daemon, "ping", "ping", "pong")
            let alone = try neighbour.median(asking: 300)
            let before = try ProcessTable.residentKibibytes(daemon.pid)
            let idle = try (0..<Self.idle).map { _ in try daemon.lines("ping") }
            try wait(for: "every client") {
                try daemon.client.status().decoded().clients?.connected ?? 0 > Self.idle
            }
            let grown = try ProcessTable.residentKibibytes(daemon.pid) - before
            let besideIdle = try neighbour.median(asking: 300)

            let path = daemon.runtime.serviceSocket("echo-c")
            let goal = 20
            let crowd = Background {
                let clients = try (0..<Self.active).map { number in
                    try PipelinedClient(EchoTalk(number), path: path, window: 1, goal: goal)
                }
                try Crowd(clients).work()
                return clients.map(\.received)
            }
            let besideActive = try neighbour.median(asking: 100_000) { crowd.isOver }
            #expect(try crowd.value().allSatisfy { $0 == goal })
            // The first and the last that came.
            for client in [idle[0], idle[Self.idle - 1]] {
                #expect(try client.ask("ping") == "pong")
            }
            let most = try ProcessTable.peakKibibytes(daemon.pid) - before
            print(
                "\(Self.idle) idle clients: \(grown) KiB; with \(Self.active) active ones at most \(most) "
                    + "KiB; a neighbour's median \(alone), beside them \(besideIdle) and \(besideActive)"
            )
            #expect(grown < 40 << 10 && most < 80 << 10)
            // What else the machine does changes meanwhile.
            let usual = max(alone, try neighbour.median(asking: 300))
            #expect(besideIdle < usual * 20)
            #expect(besideActive < usual * 100)
        }

        @Test("One user cannot take the last places: he is told so, others come in, it is counted")
        func oneUser() throws {
            let daemon = try TestDaemon(
                plugins: "ping", configuration: "limits: {connections: 8}\n")
            let clients = try (1...6).map { _ in try daemon.lines("ping") }
            for client in clients { #expect(try client.ask("ping") == "pong") }
            for _ in 1...50 {
                let surplus = try daemon.lines("ping")
                let refusal = try surplus.line() ?? ""
                #expect(
                    refusal.hasPrefix("-BUSY ") && refusal.contains("user \(geteuid())"),
                    "\(refusal)")
                #expect(try surplus.line() == nil)
            }
            // One warning tells of many.
            let warnings = daemon.logText.components(separatedBy: "as many as one user may")
            #expect(warnings.count == 2)
            // The operator has a place of his own.
            #expect(try daemon.baton("suspend", "ping").exit == .code(0))
            #expect(try daemon.baton("resume", "ping").exit == .code(0))
            // One that goes makes room, and then it can be asked what there was.
            clients[0].endInput()
            #expect(try clients[0].line() == nil)
            try wait(for: "a place") { (try? daemon.client.status()) != nil }
            let counted = try #require(try daemon.client.status().decoded().clients)
            #expect(counted.refusedBusyUid >= 50 && counted.places == 8)
            let info = try daemon.ask("INFO")
            #expect(info.contains("clients_refused_busy_uid:"), "\(info)")
        }

        @Test(
            "Places of one user are not those of another",
            .enabled(if: geteuid() == 0, "needs root, to be somebody else"))
        func anotherUser() throws {
            let daemon = try TestDaemon(
                plugins: "ping", configuration: "limits: {connections: 8}\n")
            try daemon.openToGroup()
            let clients = try (1...6).map { _ in try daemon.lines("ping") }
            #expect(try daemon.lines("ping").line()?.hasPrefix("-BUSY ") == true)
            #expect(try daemon.askAs(user: 65534, "ping", "ping").output == "pong\n")
            #expect(try clients[5].ask("ping") == "pong")
        }

        @Test(
            "Few descriptors are for the services first: hosts start and are upgraded beside a crowd"
        )
        func fewDescriptors() throws {
            let daemon = try TestDaemon(plugins: "ping", "faulty")
            try daemon.stop()
            daemon.prefix = ["/usr/bin/prlimit", "--nofile=256:256"]
            try daemon.start()
            #expect(daemon.logText.contains("raise LimitNOFILE= to "))
            let clients = try (1...250).map { _ in try daemon.lines("ping") }
            var served = 0
            for client in clients {
                try? client.send("ping\n")
                guard let line = try client.line() else { throw Failure("no word of refusal") }
                if line == "pong" { served += 1 } else { #expect(line.hasPrefix("-BUSY ")) }
            }
            #expect(100..<250 ~= served, "\(served)")
            var control = try RESPConnection(
                path: daemon.runtime.controlSocket, deadline: Deadline(after: .patience))
            for image in ["ping-2", "ping", "ping-2"] {
                let answer = try control.call(
                    "UPGRADE", "ping", "IMAGE", Products.image(image),
                    deadline: Deadline(after: .patience))
                guard case .bulk(let json) = answer else {
                    Issue.record("UPGRADE was answered \(answer)")
                    return
                }
                let verdict = try Report<ServiceVerdict>(json: json).decoded()
                #expect(verdict.verdict == .upgraded, "\(verdict)")
            }
            // A host that dies is started again.
            let hosts = ProcessTable.hosts(of: daemon.pid)
            for host in hosts { _ = kill(host, SIGKILL) }
            #expect(try clients[0].ask("ping") == "pong")
        }

        @Test("A host is ended before batond when memory runs out")
        func outOfMemory() throws {
            let daemon = try TestDaemon(plugins: "ping")
            #expect(try daemon.call("ping", "ping") == "pong")
            func score(_ pid: pid_t) throws -> Int {
                let text = try String(contentsOfFile: "/proc/\(pid)/oom_score_adj", encoding: .utf8)
                return try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            }
            let host = try #require(try daemon.status("ping").pid)
            #expect(try score(pid_t(host)) >= min(1000, score(daemon.pid) + 500))
        }
    }
}

/// Lines of its own that come back.
struct EchoTalk: Conversation {
    private let number: Int

    init(_ number: Int) { self.number = number }

    func say(_ index: Int, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: "\(number) \(index)\n".utf8)
    }

    func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        guard reply.elementsEqual("\(number) \(index)".utf8) else {
            throw Failure(
                "message \(index) of \(number) was answered "
                    + "'\(String(decoding: reply, as: UTF8.self))'")
        }
    }
}
