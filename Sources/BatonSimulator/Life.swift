// batond's lives in a simulation: begun on what the last one left on disk, ended by kill -9, by a power
// cut, or by itself. Runs in the simulator.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import CLinux
import Glibc
import Logging

/// One life of batond.
final class Life {
    let supervisor: Supervisor
    let ground: SimulatedGround
    let begun: Moment
    /// When its next turn is; known once something has come.
    var turnAt: Moment?
    /// When its timer ends; `nil` if it has none.
    var timerAt: Moment?

    init(_ supervisor: Supervisor, _ ground: SimulatedGround, at now: Moment) {
        self.supervisor = supervisor
        self.ground = ground
        begun = now
        turnAt = now
    }
}

extension Simulation {
    private var configuration: Configuration {
        var configuration = Configuration(
            directories: Configuration.Directories(
                plugins: places.plugins, state: places.state, runtime: places.runtime),
            hostProgram: "a simulated host")
        configuration.limits.messageBytes = 64 << 10
        configuration.limits.stateBytes = 256 << 10
        configuration.limits.inlineStateBytes = scenario.inlineStateBytes
        configuration.limits.mailboxBytes = scenario.mailboxBytes
        configuration.limits.handleTimeout = scenario.handleTimeout
        configuration.limits.probationBytes = scenario.probationBytes
        configuration.probation = scenario.probation
        for busy in scenario.busy {
            guard let name = ServiceName(busy.name) else { continue }
            var settings = ServiceSettings.Overrides()
            settings.durability = busy.durability
            settings.restart = busy.restart
            configuration.services[name] = settings
        }
        if let strategy = scenario.group {
            configuration.groups = [
                Group(
                    name: "group", strategy: strategy,
                    services: scenario.busy.compactMap { ServiceName($0.name) }, restarts: 5,
                    restartPeriod: .seconds(30))
            ]
        }
        return configuration
    }

    // MARK: It begins

    func beginLife() {
        lifeCount += 1
        faults.chooseDeath()
        note("batond begins its life \(lifeCount), \(faults.death.map { "\($0)" } ?? "to stay")")
        let ground = SimulatedGround(self)
        if case .afterCalls(let count) = faults.death { ground.callsLeft = count }
        start(on: ground)
        if ground.isDead { endLife() }
    }

    private func start(on ground: SimulatedGround) {
        do throws(StartRefusal) {
            let supervisor = try Supervisor(
                configuration, logger: SimulatedLog.logger(self), ground: ground)
            life = Life(supervisor, ground, at: now)
            try supervisor.begin()
        } catch { fail("batond does not start: \(error)") }
    }

    // MARK: It lives

    /// When the supervisor takes its next turn.
    var lifeDueAt: Moment {
        guard let life else { return .distantFuture }
        if life.turnAt == nil {
            var wait = pollfd(
                fd: life.supervisor.descriptor, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&wait, 1, 0) > 0 {
                let late = dice.chance(1, in: 60) ? 5000 : 30
                life.turnAt = now.advanced(by: dice.microseconds(0...late))
            }
        }
        let due = min(life.turnAt ?? .distantFuture, life.timerAt ?? .distantFuture)
        guard case .at(let span) = faults.death else { return due }
        return min(due, life.begun.advanced(by: span))
    }

    func turn() {
        // In a function of its own: nothing may hold the supervisor when it is let go of.
        if takeTurn() { endLife() }
    }

    /// - Returns: whether that was its last.
    private func takeTurn() -> Bool {
        guard let life else { return false }
        if case .at(let span) = faults.death, life.begun.advanced(by: span) <= now {
            supervisorIsKilled()
            return true
        }
        life.turnAt = nil
        life.supervisor.turn(waiting: .milliseconds(0))
        if life.ground.isDead { return true }
        if life.supervisor.isFinished {
            hasEnded(life)
            return true
        }
        let sleep = life.supervisor.timeToSleep()
        if life.ground.isDead { return true }
        life.timerAt = sleep.map { now.advanced(by: $0) }
        lookForReplies()
        return false
    }

    /// An upgrade of `service` has come so far: who is to die here dies.
    func reached(_ point: FaultPoint, _ service: Service) {
        note("\(service.name) reached \(point)")
        let processes = service.processes
        if service.name.text != Scenario.neighbour {
            for victim in faults.victims(at: point) {
                let pid =
                    switch victim {
                    case .current: processes.current
                    case .candidate: processes.candidate
                    case .old: processes.old
                    }
                host(pid)?.end(.signal(SIGKILL))
            }
        }
        if faults.dies(at: point) { supervisorIsKilled() }
    }

    // MARK: It ends

    /// At this instant: what was sent was sent, what was written was written, and nothing more will be.
    func supervisorIsKilled() {
        guard let life, !life.ground.isDead else { return }
        let isPowerCut = faults.cutsPower()
        note(isPowerCut ? "the power is cut" : "batond is killed")
        depart(from: life)
        if isPowerCut {
            disk.copyForPowerCut(to: places.kept)
            ledger.powerWasCut()
            bootID[0] &+= 1
        } else {
            if isMutant(.losesWrites) {
                disk.copyWithLoss(to: places.kept)
            } else {
                disk.copyForKill(to: places.kept)
            }
            if dice.chance(1, in: 4) { bootID[0] &+= 1 }
        }
    }

    /// Its clients take what has come and see the end; its hosts see it too.
    private func depart(from life: Life) {
        for worker in workers { worker.isCutOff() }
        life.ground.die()
        for client in clients where client.socket != nil {
            client.receive()
            client.lose()
        }
        if let repeating, repeating.socket != nil {
            repeating.receive()
            repeating.lose()
        }
        for each in operators {
            each.receive()
            each.lose()
        }
        watcher?.lose()
        for host in hosts { host.isOrphaned() }
        hosts = []
        workers = []
    }

    /// It has ended by itself, as it was told or because its disk failed.
    private func hasEnded(_ life: Life) {
        note("batond ends by itself: \(life.supervisor.exitCode)")
        if life.supervisor.exitCode != (disk.hasFailed ? 74 : 0) {
            fail("batond ends with code \(life.supervisor.exitCode)")
        }
        disk.hasFailed = false
        depart(from: life)
        disk.copyForKill(to: places.kept)
    }

    /// What was killed is let go of, and another life begins.
    func endLife() {
        letGo()
        guard !hasFailed, !isEnding else { return }
        pass(dice.milliseconds(50...1500))
        beginLife()
    }

    /// The supervisor's objects and descriptors must really go; what was kept is what there is.
    func letGo() {
        weak let ghost = life?.supervisor
        life?.supervisor.abandon()
        life = nil
        if ghost != nil { fail("the supervisor that ended is still held by somebody") }
        if places.hasKept { places.restore() }
    }
}

/// batond's log, of which only what must not be said is looked at.
/// Not shared: a simulation is one thread's.
struct SimulatedLog: LogHandler, @unchecked Sendable {
    private unowned let simulation: Simulation
    var logLevel = Logger.Level.debug
    var metadata = Logger.Metadata()

    static func logger(_ simulation: Simulation) -> Logger {
        Logger(label: "batond") { _ in SimulatedLog(simulation: simulation) }
    }

    private init(simulation: Simulation) {
        self.simulation = simulation
        logLevel = simulation.isTold ? .debug : .critical
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let service = fields["service"].map { "\($0): " } ?? ""
        simulation.note("    \(event.level) \(service)\(event.message)")
        if "\(fields["event"] ?? "")" == Event.Kind.quarantined.rawValue {
            simulation.fail("\(event.message)")
        }
    }
}
