// A host as batond sees it: the same words on the same channel, the same ring, the same log. Inside is
// the model service instead of a plugin, and whatever the dice have in mind for this process.
// Runs in the simulator. This file is the process; SimulatedHost+Handling.swift its work.

import BatonCore
import BatonHost
import BatonLinux
import BatonWire
import CLinux
import Glibc

final class SimulatedHost {
    enum Activity {
        case loading
        case starting(state: [UInt8]?, fromVersion: String)
        /// Between two messages.
        case awake
        /// At a flag in the ring that it has raised.
        case asleep(SharedRing.Word)
        case handling(sequence: UInt64, ModelMessage)
        /// It says and hears nothing any more.
        case deaf
        /// Its descriptors are closed, its end is not yet seen.
        case dying(Spawn.Exit)
        case dead(Spawn.Exit)
    }

    unowned let simulation: Simulation
    let pid: Int32
    let service: String
    let version: ModelVersion
    private(set) var mishap: Mishap
    var activity = Activity.loading
    /// When it next does something by itself.
    var wakeAt: Moment
    /// When it is gone: somebody has sent SIGKILL, or will have.
    private var doomedAt: Moment?
    /// It was sent, and nobody takes that back.
    private var isSentKill = false

    private var channel: Descriptor?
    let wakesHost: Descriptor
    let wakesSupervisor: Descriptor
    private let exit: Descriptor
    let ring: SharedRing
    var outcomes = SharedRing.Writer()
    var log = LogReader()
    var attention: UInt64 = 0
    private var commands = 0

    // Its work.
    var state = ModelState()
    var hasStarted = false
    var isRunning = false
    var dead: Set<UInt64> = []
    var carefulThrough: UInt64 = 0
    var handledCount = 0
    var inHand: MessageID?
    var lastHandled: UInt64 = 0
    var isDirty = false
    var stateChanged = false
    var usedMemory = false
    /// By the mutant that publishes a state one batch too late.
    var withheld: [UInt8] = []
    /// The last message of a replay, and what its end is called.
    var replay: (through: UInt64, generation: UInt32)?

    init(
        _ simulation: Simulation, service: String,
        descriptors: [(source: Int32, target: Int32)], exit: consuming Descriptor
    ) throws(SystemError) {
        func taken(_ number: Int32) throws(SystemError) -> Descriptor {
            guard let given = descriptors.first(where: { $0.target == number }) else {
                throw SystemError("find descriptor \(number) of a host", code: EBADF)
            }
            return try Descriptor(
                "duplicate a descriptor", baton_fcntl_int(given.source, F_DUPFD_CLOEXEC, 3))
        }
        self.simulation = simulation
        self.service = service
        channel = try taken(HostChannel.Number.channel)
        wakesHost = try taken(HostChannel.Number.wakesHost)
        wakesSupervisor = try taken(HostChannel.Number.wakesSupervisor)
        let memory = try taken(HostChannel.Number.ring)
        ring = try SharedRing(memory.number)
        let image = try taken(HostChannel.Number.image)
        guard let version = ModelVersion(image: FileTree.read(image.number)) else {
            throw SystemError("read a simulated image", code: ENOEXEC)
        }
        self.version = version
        self.exit = exit
        pid = simulation.nextPid()
        mishap = simulation.faults.mishap(service)
        wakeAt = simulation.now.advanced(by: simulation.dice.microseconds(500...8000))
        if case .killed(let after) = mishap { doomedAt = simulation.now.advanced(by: after) }
        simulation.note("host \(pid) of \(service) \(version.name) is started, \(mishap)")
    }

    // MARK: Time

    /// When it is to be run.
    var dueAt: Moment {
        var due = wakeAt
        if case .asleep(let flag) = activity {
            let isWoken = ring.peek(flag) == 0 || ring.peek(.attention) != attention
            due = isWoken ? min(wakeAt, simulation.now) : wakeAt
        }
        return min(due, doomedAt ?? .distantFuture)
    }

    /// It is a process that has not been killed.
    var isAlive: Bool {
        switch activity {
        case .dying, .dead: false
        case .loading, .starting, .awake, .asleep, .handling, .deaf: !isSentKill
        }
    }

    /// It handles messages, and not only once more.
    var isInCharge: Bool { isRunning && replay == nil && isAlive }

    func step() {
        if let doomedAt, doomedAt <= simulation.now, !isGone {
            return end(.signal(SIGKILL))
        }
        switch activity {
        case .loading: hasLoaded()
        case .starting(let state, let fromVersion): start(state, fromVersion)
        case .awake: listen()
        case .asleep(let flag): wakeUp(flag)
        case .handling(let sequence, let message):
            activity = .awake
            wakeAt = simulation.now
            finish(sequence, message)
        case .deaf, .dead: wakeAt = .distantFuture
        case .dying(let how):
            activity = .dead(how)
            wakeAt = .distantFuture
            _ = baton_eventfd_write(exit.number, 1)
        }
    }

    private var isGone: Bool {
        switch activity {
        case .dying, .dead: true
        case .loading, .starting, .awake, .asleep, .handling, .deaf: false
        }
    }

    // MARK: Its end

    /// SIGKILL is on its way.
    func isKilled() {
        guard !isGone, !simulation.isMutant(.survivesKill) else { return }
        isSentKill = true
        doomedAt = simulation.now.advanced(by: simulation.dice.microseconds(0...200))
    }

    /// batond has gone: so does it.
    func isOrphaned() {
        channel = nil
        activity = .dead(.code(0))
        isRunning = false
    }

    /// Nothing befalls it any more, if it is still well.
    func calm() {
        if !isSentKill { doomedAt = nil }
        mishap = .none
    }

    func end(_ how: Spawn.Exit) {
        guard !isGone else { return }
        simulation.note("host \(pid) of \(service) \(version.name) ends: \(how)")
        if version.flaw == .forges {
            // Of what a liar says, anything may be believed.
            for message in state.messages { simulation.ledger.diedOver(message, version) }
        }
        if let inHand, ring.load(.inHand) != 0 { simulation.ledger.diedOver(inHand, version) }
        channel = nil
        isRunning = false
        doomedAt = nil
        activity = .dying(how)
        wakeAt = simulation.now.advanced(by: simulation.dice.microseconds(0...300))
    }

    /// How it ended, once that can be seen.
    var exitSeen: Spawn.Exit? {
        if case .dead(let how) = activity { how } else { nil }
    }

    // MARK: Words

    func say(_ report: HostReport, descriptors: [Int32] = []) {
        guard let number = channel?.number else { return }
        do throws(SystemError) {
            try HostChannel.send(
                report.encoded(), descriptors: descriptors, on: number, waits: false)
        } catch { end(.code(0)) }
    }

    private func hasLoaded() {
        activity = .awake
        switch version.flaw {
        case .crashesInLoad: return end(.signal(SIGSEGV))
        case .hangsInLoad: return beDeaf()
        case .refusesInLoad: return say(.refused(reason: "the simulated image is refused"))
        case .none, .crashesInStart, .hangsInStart, .refusesInStart, .startsLate,
            .crashesAtFirstMessage, .crashesAtTenthMessage, .neverSuspends, .forges,
            .repliesOtherwise:
            break
        }
        say(
            .loaded(
                name: service, version: version.name, abi: 1, sandbox: 3, hasState: true,
                stateVersion: version.declares ? version.format : 0,
                takesFrom: version.declares ? version.takes.lowerBound : 0,
                takesTo: version.declares ? version.takes.upperBound : 0))
        listen()
    }

    func beDeaf() {
        activity = .deaf
        wakeAt = .distantFuture
    }

    /// Obeys what has been said, in order.
    func obey() {
        attention = ring.load(.attention)
        while case .awake = activity, let number = channel?.number {
            let bytes: [UInt8]
            let descriptor: Descriptor?
            do throws(SystemError) {
                switch try HostChannel.receive(on: number) {
                case .nothing: return
                case .end: return end(.code(0))
                case .frame(let frame, let number):
                    bytes = frame
                    descriptor = number.map { Descriptor(owning: $0) }
                }
            } catch { return end(.code(70)) }
            commands += 1
            if case .deaf(let after) = mishap, commands > after { return beDeaf() }
            guard let command = HostCommand(bytes) else {
                return simulation.fail("host \(pid) was told what is no command")
            }
            obey(command, descriptor)
        }
    }
}
