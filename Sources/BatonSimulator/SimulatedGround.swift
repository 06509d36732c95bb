// The ground that a supervisor stands on in a simulation: a clock that is set, hosts that live in this
// process, workers that work when the dice say so. One for each life of the supervisor.
// Runs in the simulator.
//
// Between two of its calls another process may have run: so hosts do, by chance. And batond may have
// been killed: then what the supervisor does for the rest of its turn is without effect, since
// everybody it could reach has gone, and its directory has been copied before.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import CLinux
import Glibc

package final class SimulatedGround: Ground {
    private unowned let simulation: Simulation
    /// Where signals are put for the supervisor.
    private var signals: Descriptor?
    private(set) var isDead = false
    /// So many calls from here batond is killed.
    var callsLeft: Int?

    init(_ simulation: Simulation) { self.simulation = simulation }

    func die() { isDead = true }

    /// What else happens in the world at this instant.
    private func pass() {
        guard !isDead else { return }
        if let left = callsLeft {
            callsLeft = left - 1
            if left <= 1 {
                callsLeft = nil
                return simulation.supervisorIsKilled()
            }
        }
        simulation.othersRun()
    }

    package func now() -> Moment {
        pass()
        return simulation.now
    }

    package func wallMilliseconds() -> UInt64 {
        1_700_000_000_000 + simulation.now.nanoseconds / 1_000_000
    }

    package func age(ofCycles reading: UInt64) -> Moment.Span {
        simulation.now.since(Moment(nanoseconds: reading))
    }

    package var bootID: [UInt8] { simulation.bootID }

    /// As much as it likes.
    package func room(of directory: OpenFile) -> DiskRoom? { nil }

    // MARK: Hosts

    package func spawnHost(
        _ program: String, arguments: [String], environment: [String],
        descriptors: [(source: Int32, target: Int32)]
    ) throws(SystemError) -> Spawn.Child {
        pass()
        let exit = try Descriptor.event()
        guard !isDead else { return Spawn.Child(pid: 0, exit: exit) }
        if simulation.faults.spawnFails(arguments.first ?? "") {
            throw SystemError("start a host", code: EAGAIN)
        }
        let host = try SimulatedHost(
            simulation, service: arguments.first ?? "", descriptors: descriptors,
            exit: exit.duplicate())
        simulation.hosts.append(host)
        return Spawn.Child(pid: host.pid, exit: exit)
    }

    package func kill(_ pid: Int32) {
        pass()
        guard !isDead else { return }
        simulation.host(pid)?.isKilled()
    }

    package func reap(_ pid: Int32) -> Spawn.Exit? {
        guard !isDead, let exit = simulation.host(pid)?.exitSeen else { return nil }
        simulation.hosts.removeAll { $0.pid == pid }
        return exit
    }

    // MARK: Threads and signals

    package func makeWorker(_ name: String) throws(SystemError) -> any DiskWorker {
        let worker = SimulatedWorker(simulation, descriptor: try .event())
        simulation.workers.append(worker)
        return worker
    }

    package func takeSignals(_: [Int32]) throws(SystemError) -> Descriptor {
        var pair = try UnixSocket.pair()
        signals = pair.takeTheirs()
        return pair.takeOurs()
    }

    func signal(_ signal: Int32) {
        guard let number = signals?.number else { return }
        var information = signalfd_siginfo()
        information.ssi_signo = UInt32(signal)
        _ = unsafe write(number, &information, MemoryLayout<signalfd_siginfo>.size)
    }

    package func reached(_ point: FaultPoint, _ service: Service) {
        guard !isDead else { return }
        simulation.reached(point, service)
    }
}
