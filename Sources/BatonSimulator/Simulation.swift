// One simulation: the real supervisor, alone in one thread with simulated hosts, clients, operators,
// disk and clock, all from one seed. Runs in the simulator. This file is the world and its schedule;
// Life.swift is batond's lives in it, Judgement.swift what must have come of it.
//
// The schedule: whoever is due runs, one at a time, chosen by the dice among those who are; when nobody
// is, the clock goes to when the next one will be. The supervisor is due when its epoll says so, or
// its timer: a wake-up that is forgotten is a simulation that stands still.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import CLinux
import Glibc

/// What a simulation came to.
package struct Outcome: Equatable, Sendable {
    package var failure: String?
    /// Tells two runs apart: the same seed has the same.
    package var fingerprint: UInt64
    package var answers: Int
    package var lives: Int
    package var steps: Int
}

package final class Simulation {
    package let seed: UInt64
    let dice: Dice
    let places: Places
    private let mutant: Mutant?
    let scenario: Scenario
    let faults: Faults
    let disk: SimulatedDisk
    let ledger = Ledger(attempts: 3)

    private(set) var now = Moment(nanoseconds: 1_000_000_000_000)
    var bootID: [UInt8] = [1] + [UInt8](repeating: 0, count: 15)
    var life: Life?
    var lifeCount = 0
    /// No other life follows.
    var isEnding = false
    var hosts: [SimulatedHost] = []
    var workers: [SimulatedWorker] = []
    var clients: [SimulatedClient] = []
    private(set) var repeating: RepeatingClient?
    var operators: [SimulatedOperator] = []
    private(set) var watcher: SimulatedWatcher?

    /// A hundred times as many as a world takes.
    private static let mostSteps = 150_000

    private var pids: Int32 = 1_000_000
    private var senders = 0
    private var steps = 0
    private var fingerprint: UInt64 = 0xcbf2_9ce4_8422_2325
    private(set) var failure: String?
    /// Is told what happens.
    private let tell: ((String) -> Void)?
    private var othersAreRunning = false
    private var progressedAt = Moment(nanoseconds: 0)

    package init(
        seed: UInt64, in places: Places, mutant: Mutant? = nil, tell: ((String) -> Void)? = nil
    ) {
        self.seed = seed
        self.places = places
        self.mutant = mutant
        self.tell = tell
        dice = Dice(seed: seed)
        scenario = Scenario(dice)
        faults = Faults(dice)
        disk = SimulatedDisk(root: places.state, dice: dice)
        disk.isWatched = faults.hasPowerCuts
    }

    /// Trouble, until everybody has done what he wanted to; then calm, in which a sound version is
    /// brought and everything must come to rest; then the judgement.
    package func run() -> Outcome {
        places.begin()
        disk.begin()
        begin()
        run(for: .seconds(90)) { self.isAtRest }
        bringCalm()
        run(whileProgressing: .seconds(200)) { self.isAtRest }
        if !isAtRest { fail(restlessness) }
        judge()
        letGo()
        disk.end()
        places.remove()
        return Outcome(
            failure: failure, fingerprint: fingerprint, answers: ledger.answerCount,
            lives: lifeCount, steps: steps)
    }

    private func begin() {
        for busy in scenario.busy { places.install(busy.versions[0], busy.name) }
        places.install(ModelVersion("quiet"), Scenario.neighbour)
        beginLife()
        let probed = Scenario.Busy(
            name: Scenario.neighbour, versions: [ModelVersion("quiet")], durability: .commit)
        clients.append(SimulatedClient(self, services: [probed], isProbe: true))
        for _ in 0..<scenario.clientCount {
            let services = dice.chance(1, in: 2) ? scenario.busy : [dice.pick(scenario.busy)]
            clients.append(SimulatedClient(self, services: services))
        }
        let synced = scenario.busy.filter { $0.durability == .commit }
        if !synced.isEmpty, dice.chance(2, in: 3) {
            repeating = RepeatingClient(self, services: synced)
        }
        if !scenario.isTerse { watcher = SimulatedWatcher(self) }
        for _ in 0..<scenario.operatorCount { operators.append(SimulatedOperator(self)) }
    }

    /// Everybody has done what he wanted to, and knows what came of it.
    var isAtRest: Bool {
        clients.allSatisfy { $0.isDone || $0.isProbe } && operators.allSatisfy(\.isDone)
            && repeating?.isDone != false
    }

    // MARK: The schedule

    func run(for span: Moment.Span, until isDone: () -> Bool = { false }) {
        let end = now.advanced(by: span)
        while failure == nil, !isDone(), now < end { step(until: end) }
    }

    /// As long as it takes: a message that kills takes its time until it is set aside, and those behind
    /// it wait. But somebody handles a message that was never handled before within `span`.
    func run(whileProgressing span: Moment.Span, until isDone: () -> Bool) {
        progressedAt = now
        while failure == nil, !isDone() {
            let end = progressedAt.advanced(by: span)
            guard now < end else { return }
            step(until: end)
        }
    }

    func noteProgress() { progressedAt = now }

    private func step(until end: Moment) {
        steps += 1
        if steps > Self.mostSteps { return fail("somebody is busy with nothing") }
        var due: [() -> Void] = []
        var next = end
        func consider(_ at: Moment, _ kind: UInt64, _ run: @escaping () -> Void) {
            if at <= now {
                due.append {
                    self.mix(kind)
                    run()
                }
            } else {
                next = min(next, at)
            }
        }
        for host in hosts { consider(host.dueAt, 1) { host.step() } }
        for worker in workers { consider(worker.wakeAt, 2) { worker.step() } }
        for client in clients { consider(client.dueAt, 3) { client.step() } }
        if let repeating { consider(repeating.dueAt, 8) { repeating.step() } }
        for each in operators { consider(each.dueAt, 4) { each.step() } }
        if let watcher { consider(watcher.dueAt, 7) { watcher.step() } }
        consider(lifeDueAt, 5) { self.turn() }
        if due.isEmpty {
            now = next
        } else {
            dice.pick(due)()
        }
    }

    /// While the supervisor is in a turn, hosts run too, by chance.
    func othersRun() {
        guard !othersAreRunning, dice.chance(1, in: 12) else { return }
        let due = hosts.filter { $0.dueAt <= now }
        guard !due.isEmpty else { return }
        othersAreRunning = true
        mix(6)
        dice.pick(due).step()
        othersAreRunning = false
    }

    private func mix(_ word: UInt64) {
        fingerprint = (fingerprint ^ word ^ now.nanoseconds) &* 0x100_0000_01b3
    }

    /// Who has something to read after the supervisor's turn.
    func lookForReplies() {
        var readers: [(socket: ClientSocket?, isReadable: () -> Void)] = []
        for client in clients where client.reads {
            readers.append((client.socket, client.isReadable))
        }
        if let repeating { readers.append((repeating.socket, repeating.isReadable)) }
        for each in operators { readers.append((each.socket, each.isReadable)) }
        if let watcher { readers.append((watcher.socket, watcher.isReadable)) }
        var waits = readers.map { reader in
            pollfd(fd: reader.socket?.number ?? -1, events: Int16(POLLIN), revents: 0)
        }
        guard unsafe poll(&waits, UInt(waits.count), 0) > 0 else { return }
        for (wait, reader) in zip(waits, readers) where wait.revents != 0 { reader.isReadable() }
    }

    // MARK: What the others need

    func pass(_ span: Moment.Span) { now = now.advanced(by: span) }
    var isTold: Bool { tell != nil }

    func nextPid() -> Int32 {
        pids += 1
        return pids
    }

    func nextSender() -> Int {
        senders += 1
        return senders
    }

    func host(_ pid: Int32?) -> SimulatedHost? { hosts.first { $0.pid == pid } }
    func isMutant(_ mutant: Mutant) -> Bool { self.mutant == mutant }
    var hasFailed: Bool { failure != nil }

    /// At most one host of a service handles messages.
    func checkWhoRuns(_ host: SimulatedHost) {
        let others = hosts.filter {
            $0 !== host && $0.service == host.service && $0.isInCharge
        }
        if let other = others.first {
            fail("hosts \(other.pid) and \(host.pid) of \(host.service) are both in charge")
        }
    }

    func fail(_ reason: String) {
        note("FAILS: \(reason)")
        if failure == nil { failure = reason }
    }

    func note(_ text: @autoclosure () -> String) {
        guard let tell else { return }
        let milliseconds = now.nanoseconds / 1_000_000 % 1_000_000_000
        let microseconds = String(now.nanoseconds / 1000 % 1000 + 1000).dropFirst()
        tell("\(milliseconds).\(microseconds) \(text())")
    }
}
