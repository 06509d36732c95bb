// Walks at random through everything that changes which version runs: upgrades, good and bad ones,
// rollbacks, crashes, kills, boots. After each step every sum is what it must be.
//
// By hand, for longer: BATON_WALK="7 500" walks 500 steps from seed 7.

import BatonClient
import BatonLinux
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("47 Walk") struct Walk {
        /// The seed, and the number of steps.
        private static let walks: [[Int]] = {
            let words = ProcessInfo.processInfo.environment["BATON_WALK"] ?? ""
            let wanted = words.split(separator: " ").compactMap { Int($0) }
            return wanted.count == 2 ? [wanted] : [[1, 40], [2, 40], [3, 40]]
        }()

        @Test("After every step of a random walk each sum and count is right", arguments: walks)
        func alone(walk: [Int]) throws {
            let walker = try Walker(seed: UInt64(walk[0]))
            for _ in 0..<walk[1] {
                try walker.step()
                try walker.look()
            }
            try walker.end()
        }

        @Test("The same beside four clients: each message its one reply", arguments: walks)
        func underLoad(walk: [Int]) throws {
            let walker = try Walker(seed: UInt64(walk[0]), survives: true)
            let runtime = walker.daemon.runtime
            let clients = try (0..<4).map { _ in
                try PipelinedClient(
                    TallyTalk(), path: runtime.serviceSocket("trial"), window: 8)
            }
            // The walk in this thread, a step whenever the clients are some replies further.
            var steps = 0
            try Crowd(clients).work {
                let received = clients.map(\.received).reduce(0, +)
                if received >= 20 * steps {
                    steps += 1
                    try walker.step()
                }
                return steps == walk[1]
            }
            #expect(clients.allSatisfy { $0.received == $0.sent && !$0.isCut })
            let sums = clients.flatMap(\.talk.sums) + walker.sums
            #expect(sums.sorted() == Array(1...max(1, sums.count)), "seed \(walk[0])")
            walker.sum = sums.count
            try walker.look()
            try walker.end()
        }
    }
}

/// Who walks.
private final class Walker {
    let daemon: TestDaemon
    /// What it must be, if nobody else adds.
    var sum = 0
    private(set) var sums: [Int] = []
    private let seed: UInt64
    private var state: UInt64
    private var trace: [String] = []
    private let images: [String]
    private let steps: [Step]
    private var waiting: [Background<ServiceVerdict>] = []

    enum Step: CaseIterable {
        case upgrade, force, wait, rehearse, dryRun, rollback, confirm, purge
        case killCurrent, killOld, stopCurrent, die, dieAll, hang, exit, add, large, suspended
        case killBatond, reboot

        /// Whether batond goes on, and with it its clients' connections.
        var isSurvived: Bool { self != .killBatond && self != .reboot }
    }

    /// - Parameter survives: whether batond is left alone.
    init(seed: UInt64, survives: Bool = false) throws {
        self.seed = seed
        state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1
        steps = Step.allCases.filter { $0.isSurvived || !survives }
        let probation = seed % 3 == 0 ? "300ms" : seed % 5 == 0 ? "0s" : "60s"
        daemon = try TestDaemon(
            seed % 2 == 0 ? .first : .firstTakesBoth,
            configuration: """
                probation: \(probation)
                limits:
                  restarts: 1000
                  restart_period: 20ms
                  suspend_timeout: 300ms
                  handle_timeout: 500ms
                  replay_timeout: 1s
                  prepare_timeout: 5s

                """)
        images = try [
            Trial.first, .firstTakesBoth, .second, Trial(version: "3", writes: 2, takes: 1...2),
            Trial(version: "4", writes: 2, takes: 2...2),
            Trial(version: "5", writes: 2, takes: 1...2, plan: "crash-at 7"),
            Trial(version: "6", takes: 1...2, plan: "crash-at 2"),
            Trial(version: "7", takes: 0...0),
            Trial(version: "8", writes: 2, takes: 1...2, plan: "migration-crash"),
            Trial(version: "9", writes: 2, takes: 1...2, plan: "crash-after 30"),
        ].map { [directory = daemon.directory] in try $0.file(in: directory) }
    }

    private func random(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % count
    }

    private var image: String { images[random(images.count)] }

    /// Replies; a message that died too often has its error.
    private func call(_ message: String) throws -> String? {
        do throws(ClientError) {
            return String(
                decoding: try daemon.client.call("trial", Array(message.utf8)), as: UTF8.self)
        } catch {
            guard case .refused("POISON", _) = error else { throw error }
            return nil
        }
    }

    private func signal(_ number: Int32, _ host: Int?) {
        if let host { _ = kill(pid_t(host), number) }
    }

    func step() throws {
        let step = steps[random(steps.count)]
        trace.append("\(step)")
        let control = daemon.client
        let label = "\(1 + random(9))"
        switch step {
        case .upgrade: _ = try control.upgrade("trial", image: image)
        case .force: _ = try control.upgrade("trial", image: image, force: true)
        case .wait:
            let image = image
            waiting.append(
                Background { try control.upgrade("trial", image: image, wait: true).decoded() })
        case .rehearse:
            _ = try control.upgrade("trial", image: image, rehearse: 1 + random(50))
        case .dryRun: _ = try control.upgrade("trial", image: image, dryRun: true)
        case .rollback: _ = try control.rollback("trial", force: random(2) == 0)
        case .confirm: try control.change(.confirm, "trial")
        case .purge: try control.change(.purge, "trial")
        case .killCurrent: signal(SIGKILL, try daemon.trial().pid)
        case .killOld: signal(SIGKILL, try daemon.trial().oldPid)
        case .stopCurrent:
            let host = try daemon.trial().pid
            signal(SIGSTOP, host)
            if random(2) == 0 { _ = try control.rollback("trial", force: true) }
            signal(SIGCONT, host)
        case .die: #expect(try ["alive", nil].contains(call("die \(label)")), "\(self)")
        case .dieAll: #expect(try call("die-all") == nil, "\(self)")
        case .hang: #expect(try ["alive", nil].contains(call("hang \(label)")), "\(self)")
        case .exit: #expect(try call("exit0") == nil, "\(self)")
        case .add:
            for _ in 0...random(5) {
                guard let reply = try call("sum 1") else { continue }
                sum += 1
                sums.append(Int(reply) ?? 0)
            }
        case .large:
            let large = String(repeating: "large ", count: 1 + random(50_000))
            #expect(try [large, nil].contains(call(large)), "\(self)")
        case .suspended:
            // If an upgrade is under way, it is not suspended.
            do throws(ClientError) { try control.change(.suspend, "trial") } catch {
                guard case .refused("BUSY", _) = error else { throw error }
            }
            _ = try control.send("trial", Array("die \(label)".utf8))
            _ =
                try random(2) == 0
                ? control.rollback("trial") : control.upgrade("trial", image: image)
            try control.change(.resume, "trial")
        case .killBatond, .reboot:
            try daemon.killHard()
            if step == .reboot { daemon.bootID = String(repeating: "\(random(10))", count: 32) }
            try daemon.start()
        }
    }

    /// Nobody else adds now.
    func look() throws {
        var (sum, count): (String?, String?)
        try wait(for: "a version that answers") {
            sum = try call("sum")
            count = try call("count")
            return sum != nil && count != nil
        }
        guard sum == "\(self.sum)", count == "\(self.sum)" else {
            throw Failure("sum \(sum ?? "") of \(count ?? ""), not \(self.sum): \(self)")
        }
    }

    /// Everybody who waits has a verdict, nothing is left over.
    func end() throws {
        for verdict in waiting {
            try wait(for: "a verdict for who waits") {
                if !verdict.isOver { try daemon.client.change(.confirm, "trial") }
                return verdict.isOver
            }
        }
        try wait(for: "rest") { try daemon.trial().state == .running }
        try wait(for: "two versions at most") {
            ProcessTable.children(of: daemon.pid).count <= 2
        }
        let status = try daemon.trial()
        #expect(status.waiting == 0 && status.phase == nil, "\(self)")
    }
}

extension Walker: CustomStringConvertible {
    var description: String { "seed \(seed): \(trace.joined(separator: ", "))" }
}
