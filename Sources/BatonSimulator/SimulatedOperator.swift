// Somebody at control.sock who upgrades, rolls back, reloads, suspends, and waits for what he is told.
// Runs in the simulator.

import BatonCore
import Glibc

final class SimulatedOperator {
    private unowned let simulation: Simulation
    private var dice: Dice { simulation.dice }
    private(set) var socket: ClientSocket?
    private var awaited: [(request: OperatorRequest, sentAt: Moment)] = []
    /// Requests of its own that are still to come.
    private var left: Int
    private var wakeAt: Moment
    private var readAt: Moment?
    /// Brings sound versions, again and again; whether it has done so yet.
    private var mends = false
    private var isToMend = false
    /// What it was told last.
    private(set) var lastAnswer: OperatorRequest.Answer?

    init(_ simulation: Simulation) {
        self.simulation = simulation
        left = simulation.dice.number(simulation.scenario.requests)
        wakeAt = simulation.now.advanced(by: simulation.dice.milliseconds(0...3000))
    }

    var isDone: Bool { left == 0 && awaited.isEmpty && !isToMend }

    /// No more requests of its own; what an operator does who has been alerted.
    func calm(mends: Bool) {
        left = 0
        self.mends = mends
        isToMend = mends
        wakeAt = mends ? simulation.now : .distantFuture
    }

    // MARK: Its moves

    var dueAt: Moment { min(wakeAt, readAt ?? .distantFuture) }

    func isReadable() {
        if readAt == nil { readAt = simulation.now.advanced(by: dice.microseconds(0...200)) }
    }

    func step() {
        if let at = readAt, at <= simulation.now {
            readAt = nil
            return receive()
        }
        if mends { return mend() }
        guard left > 0 else { return wakeAt = .distantFuture }
        left -= 1
        move()
        let span =
            dice.chance(1, in: 3) ? dice.microseconds(0...3000) : dice.milliseconds(1...9000)
        wakeAt = left > 0 ? simulation.now.advanced(by: span) : .distantFuture
    }

    private func move() {
        let busy = dice.pick(simulation.scenario.busy)
        let (service, version) = (busy.name, dice.pick(busy.versions))
        switch dice.number(0...23) {
        case 0...8:
            ask(
                .upgrade(
                    OperatorRequest.Upgrade(
                        service: service, version: version, force: dice.chance(1, in: 4),
                        rehearse: dice.pick([0, 0, 1, 20]), isDryRun: dice.chance(1, in: 10),
                        waits: dice.chance(1, in: 4))))
        case 9...11:
            simulation.places.install(version, service)
            ask(.reload(isDryRun: dice.chance(1, in: 8), waits: dice.chance(1, in: 4)))
        case 12:
            simulation.places.uninstall(service)
            ask(.reload(isDryRun: false, waits: false))
        case 13...16: ask(.rollback(service))
        case 17: ask(.confirm(service))
        case 18, 19:
            ask(.suspend(service))
            if dice.chance(1, in: 2) { ask(.resume(service)) }
        case 20: ask(.resume(service))
        case 21: ask(.purge(service))
        case 22: ask(.redeliver(service))
        default: ask(.discard(service))
        }
    }

    /// What an operator does who has been alerted.
    private func mend() {
        isToMend = false
        wakeAt = simulation.now.advanced(by: .seconds(12))
        for busy in simulation.scenario.busy {
            if let version = busy.versions.last { simulation.places.install(version, busy.name) }
        }
        ask(.reload(isDryRun: false, waits: false))
        for busy in simulation.scenario.busy {
            guard let version = busy.versions.last else { continue }
            ask(.resume(busy.name))
            ask(
                .upgrade(
                    OperatorRequest.Upgrade(service: busy.name, version: version, force: true)))
        }
    }

    func ask(_ request: OperatorRequest) {
        if socket == nil {
            socket = ClientSocket(
                path: "\(simulation.places.runtime)/control.sock", isRESP: true)
        }
        // Nobody is there just now; what is not asked is not done.
        guard let socket else { return }
        simulation.note("asks \(request)")
        if case .redeliver(let service) = request { simulation.ledger.redelivers(service) }
        lastAnswer = nil
        awaited.append((request, simulation.now))
        let words = request.words(simulation.places)
        socket.send(ReplyStream.command(words.map { Array($0.utf8) }))
    }

    // MARK: What comes

    func receive() {
        guard let socket else { return }
        let isOpen = socket.receive()
        while let answer = socket.answers.next() {
            guard !awaited.isEmpty else {
                return simulation.fail("a verdict that nobody asked for: \(answer)")
            }
            let (request, _) = awaited.removeFirst()
            simulation.note("\(request) → \(answer)")
            lastAnswer = request.answer(
                answer, saysOne: simulation.scenario.saysOne(request.service))
            if lastAnswer == nil { simulation.fail("\(request) was answered with \(answer)") }
        }
        if !isOpen { lose() }
    }

    func lose() {
        socket = nil
        awaited = []
    }

    var longestWait: Moment.Span {
        awaited.first.map { simulation.now.since($0.sentAt) } ?? .milliseconds(0)
    }
}
