// Groups of services: performs what GroupMachine decides. Runs in batond.
//
// A member that stands down finishes the message in hand; if that takes too long, it is ended and the
// message given to its next host, without blame. From suspend on it is an upgrade that decides which
// host a member has, and the group does not interfere.

import BatonCore
import BatonLinux
import BatonStore
import Logging

final class GroupRun {
    fileprivate(set) var machine: GroupMachine
    fileprivate var timer: Timers.Handle?

    fileprivate init(_ group: Group) { machine = GroupMachine(group) }
}

extension Supervisor {
    /// Takes the groups of the configuration; those that are as they were go on.
    func regroup() {
        let before = groups
        groups = configuration.groups.map { group in
            before.first { $0.machine.group == group } ?? GroupRun(group)
        }
        for run in before where !groups.contains(where: { $0 === run }) {
            cancel(&run.timer)
            guard run.machine.state != .steady else { continue }
            // Nobody else would start those that wait for their turn.
            for name in run.machine.group.services { _ = services[name]?.standUp() }
        }
    }

    private func group(of service: Service) -> GroupRun? {
        guard !groups.isEmpty else { return nil }
        return groups.first { $0.machine.group.services.contains(service.name) }
    }

    /// A service's host has died, and no upgrade or rollback follows from it.
    /// - Returns: false if the service is in no group.
    func groupHasLost(_ service: Service, _ reason: String, wasNormal: Bool) -> Bool {
        guard let run = group(of: service) else { return false }
        let before = run.machine
        let action = run.machine.died(
            service.name, at: now, type: service.settings.restart, wasNormal: wasNormal)
        if run.machine.isSurrendering, !before.isSurrendering,
            service.rollsBackRatherThanStop(reason, wasNormal: wasNormal)
        {
            run.machine = before
            run.machine.forgive()
            return true
        }
        if case .leaveStopped(_, let why) = action {
            service.stop(because: "\(reason); \(why)")
            return true
        }
        service.condition = .restarting
        perform(action, run)
        return true
    }

    private func perform(_ action: GroupMachine.Action, _ run: GroupRun) {
        guard !isStopping else { return }
        switch action {
        case .nothing, .leaveStopped: return
        case .stop(let name):
            cancel(&run.timer)
            if let service = services[name] {
                service.standDown()
            } else {
                perform(run.machine.removed(name), run)
            }
        case .wait(let span):
            cancel(&run.timer)
            run.timer = after(span) { [weak self] in
                run.timer = nil
                guard let self else { return }
                self.perform(run.machine.timePassed(), run)
            }
        case .start(let name):
            cancel(&run.timer)
            if services[name]?.standUp() != true { perform(run.machine.started(name), run) }
        case .surrender(let reason):
            cancel(&run.timer)
            for name in run.machine.group.services {
                services[name]?.surrender(
                    "its group \(run.machine.group.name) is stopped: \(reason)")
            }
        }
    }

    // MARK: What members tell

    /// It has a host that is ready, or will have none.
    func memberIsSettled(_ service: Service) {
        guard let run = group(of: service) else { return }
        perform(run.machine.started(service.name), run)
    }

    func memberHasStoodDown(_ service: Service) {
        guard let run = group(of: service) else { return }
        perform(run.machine.stopped(service.name), run)
    }

    func memberIsGone(_ service: Service) {
        guard let run = group(of: service) else { return }
        perform(run.machine.removed(service.name), run)
    }

    fileprivate func excuseInGroup(_ service: Service, _ deaths: Int) {
        group(of: service)?.machine.excuse(deaths)
    }

    fileprivate func forgiveGroup(of service: Service) { group(of: service)?.machine.forgive() }
}

extension Service {
    /// From suspend on it is the upgrade that decides who goes on, and starts it.
    var upgradeDecides: Bool { upgrade.phase != nil && upgrade.phase != .prepare }

    /// New code, or the operator's word: what was before does not count.
    func forgive() {
        restartPolicy.forgive()
        supervisor.forgiveGroup(of: self)
    }

    /// So many of its host's last deaths were a message's fault.
    func excuse(_ deaths: Int) {
        restartPolicy.excuse(deaths)
        supervisor.excuseInGroup(self, deaths)
    }

    /// Ends its host in order; `memberHasStoodDown` follows.
    fileprivate func standDown() {
        guard !upgradeDecides, let host = current else {
            return supervisor.memberHasStoodDown(self)
        }
        switch host.machine.state {
        case .running, .suspending: break
        case .loading, .starting, .ready, .replaying: return part(from: host, isBusy: false)
        // Its end is on its way.
        case .ending: return
        }
        suspendWaiters.append { [weak self] takenBack in
            guard let self else { return }
            // Resumed by hand meanwhile, it is still busy: it must not go on beside the next one.
            if self.current === host { return self.part(from: host, isBusy: takenBack != nil) }
            // It has died instead. What follows from that is said first.
            _ = self.supervisor.after(.milliseconds(0)) { [weak self] in
                guard let self else { return }
                self.supervisor.memberHasStoodDown(self)
            }
        }
        if case .running = host.machine.state { host.suspend() }
        _ = supervisor.after(supervisor.configuration.limits.suspendTimeout) { [weak self] in
            guard let self, self.current === host, !self.supervisor.isStopping else { return }
            self.part(from: host, isBusy: true)
        }
    }

    private func part(from host: HostProcess, isBusy: Bool) {
        takeOutcomes(all: true)
        // What it has just said may have been its last.
        guard current === host, host.endReason == nil else { return }
        current = nil
        history.forget()
        condition = .restarting
        supervisor.cancel(&host.deadline)
        standingDown = host
        log.notice("stopped with its group\(isBusy ? ": \(busyText)" : "")")
        if isBusy { host.kill("it was busy, and its group is started again") } else { end(host) }
    }

    /// Starts it again.
    /// - Returns: whether `memberIsSettled` follows.
    fileprivate func standUp() -> Bool {
        guard !upgradeDecides, condition == .restarting, currentImage != nil else { return false }
        switch current?.machine.state {
        case nil:
            restarts += 1
            emit(.restarting, cause: "with its group")
            startCurrent()
            return true
        case .loading, .starting: return true
        case .ready, .running, .suspending, .replaying, .ending: return false
        }
    }

    fileprivate func surrender(_ reason: String) {
        guard !upgradeDecides else { return }
        switch condition {
        case .stopped: break
        case .starting, .serving, .restarting: stop(because: reason)
        }
    }

    /// The end of its host was waited for.
    func hasParted(_ host: HostProcess) {
        guard standingDown === host else { return }
        standingDown = nil
        supervisor.memberHasStoodDown(self)
    }
}
