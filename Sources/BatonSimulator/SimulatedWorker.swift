// A thread of batond's that performs disk jobs, when the dice say that it gets to it.
// Runs in the simulator.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import CLinux
import Glibc

final class SimulatedWorker: DiskWorker {
    private unowned let simulation: Simulation
    private let hasResults: Descriptor
    private var jobs: [DiskJob] = []
    private var results: [DiskJob.Result] = []
    /// By a mutant.
    private var late: DiskJob?
    /// When its next job is done.
    private(set) var wakeAt = Moment.distantFuture

    init(_ simulation: Simulation, descriptor: consuming Descriptor) {
        self.simulation = simulation
        hasResults = descriptor
    }

    var descriptor: Int32 { hasResults.number }

    func submit(_ job: DiskJob) {
        jobs.append(job)
        if jobs.count == 1 { schedule() }
    }

    func take() -> [DiskJob.Result] {
        _ = baton_eventfd_read(hasResults.number)
        defer { results = [] }
        return results
    }

    private func schedule() {
        wakeAt =
            jobs.isEmpty
            ? .distantFuture : simulation.now.advanced(by: simulation.faults.diskLatency())
    }

    /// batond dies while its next job is under way: a state may stand in its slot, whole or in part,
    /// and nobody has heard of it.
    func isCutOff() {
        guard case .checkpoint = jobs.first, simulation.dice.chance(1, in: 2) else { return }
        let job = jobs.removeFirst()
        simulation.note("a state is cut off on its way into its slot")
        simulation.disk.performUnsynced(job)
    }

    func step() {
        guard !jobs.isEmpty else { return schedule() }
        let job = jobs.removeFirst()
        // Nothing can fail in a sync of nothing.
        if case .sync(let targets) = job, !targets.isEmpty, simulation.faults.syncFails() {
            simulation.note("a sync fails")
            simulation.disk.hasFailed = true
            results.append(.synced(SystemError("sync", code: EIO)))
        } else {
            results.append(perform(job))
        }
        _ = baton_eventfd_write(hasResults.number, 1)
        schedule()
    }

    private func perform(_ job: DiskJob) -> DiskJob.Result {
        guard case .sync = job else { return DiskJob.perform(job) }
        if simulation.isMutant(.liesAboutSyncs) { return .synced(nil) }
        guard simulation.isMutant(.syncsLate) else { return DiskJob.perform(job) }
        // The one before is done only now.
        defer { late = job }
        if let late { _ = DiskJob.perform(late) }
        return .synced(nil)
    }
}
