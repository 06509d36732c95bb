// A service whose file is gone: it takes nothing new, handles what waits, and ends; its mailbox
// stays for the day it comes back. Runs in batond.
//
// Invariants: nothing ends before the marker is durable that keeps the next boot from starting the
// service; nobody touches its mailbox any more once it has left, so that it can be opened again.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging

final class Removal {
    enum Stage {
        /// What was accepted is handled; an upgrade under way comes to its end.
        case draining
        /// The marker is durable; the hosts are asked to end.
        case ending
        /// The mailbox's last batch is made durable.
        case closing
        /// The housekeeping thread finishes what it does for the mailbox.
        case leaving

        /// Nothing may be written to the mailbox any more.
        var isClosed: Bool {
            switch self {
            case .draining, .ending: false
            case .closing, .leaving: true
            }
        }
    }

    fileprivate(set) var stage = Stage.draining
    /// Messages that are kept.
    fileprivate var kept: UInt64 = 0
    /// Hosts that have not ended yet.
    fileprivate var parting: [HostProcess] = []
    fileprivate var deadline: Timers.Handle?
    private let begun: Moment
    private var done: ((Verdict) -> Void)?

    fileprivate init(begun: Moment, done: @escaping (Verdict) -> Void) {
        self.begun = begun
        self.done = done
    }

    /// Who asked for it hears this, and nothing more.
    fileprivate func answer(_ verdict: Verdict) {
        let done = done
        abandon()
        done?(verdict)
    }

    /// Lets go of who asked for it, and of what it waits for.
    func abandon() {
        done = nil
        parting = []
    }

    fileprivate func verdict(
        of service: Service, _ outcome: Verdict.Outcome, at now: Moment
    ) -> Verdict {
        let release = service.mailbox.standing.release
        return Verdict(
            service: service.name, from: release?.version, to: nil, digest: release?.digest,
            outcome: outcome, total: now.since(begun))
    }
}

extension Supervisor {
    func socketPath(of service: ServiceName) -> String {
        "\(configuration.directories.runtime)/services/\(service).sock"
    }

    /// - Parameter done: is given `removed`, or `refused` if it cannot handle in time what waits.
    func remove(_ service: Service, _ done: @escaping (Verdict) -> Void) {
        let removal = Removal(begun: freshNow(), done: done)
        service.removal = removal
        leaving.append(service)
        service.log.notice(
            "its file is gone from \(configuration.directories.plugins): it is being removed")
        closeListener(of: service.name)
        removal.deadline = after(configuration.limits.drainTimeout) { [weak self, weak service] in
            guard let self, let service, removal.stage == .draining else { return }
            removal.deadline = nil
            self.keep(service, because: service.whatKeepsIt)
        }
        statusChanged()
    }

    /// A service whose mailbox could not be opened has nothing that could end.
    func remove(outOfService name: ServiceName, _ done: @escaping (Verdict) -> Void) {
        let begun = freshNow()
        let outcome: Verdict.Outcome
        do throws(SystemError) {
            try state.noteRemoval(name, StateDirectory.Removed(images: nil))
            outcome = .removed(kept: 0)
            closeListener(of: name)
            outages[name] = nil
            emit(Event(.removed, service: name, cause: "its mailbox is kept as it is"))
        } catch { outcome = .refused(.drain, reason: "its removal cannot be recorded: \(error)") }
        done(
            Verdict(
                service: name, from: nil, to: nil, digest: nil, outcome: outcome,
                total: freshNow().since(begun)))
    }

    private func closeListener(of name: ServiceName) {
        let path = socketPath(of: name)
        listeners.removeAll { listener in
            guard listener.path == path else { return false }
            stopWatching(listener.socket.number, token: listener.token)
            return true
        }
        _ = unsafe unlink(path)
    }

    /// The client is read no further, and closed when it has its replies.
    private func turnAway(_ connection: Connection) {
        guard connection.state == .open else { return }
        connection.state = .inputEnded
        connection.input = []
        connection.isHeldBack = false
        flushes(connection)
    }

    /// At the end of each turn: removals go as far as they can without waiting.
    /// - Returns: whether there is more to do in this turn.
    func advanceRemovals() -> Bool {
        guard !leaving.isEmpty, !isStopping else { return false }
        var isMoreToDo = false
        for service in leaving {
            guard let removal = service.removal else { continue }
            switch removal.stage {
            case .draining:
                guard service.hasDrained, isDurable(service, &isMoreToDo) else { continue }
                endHosts(of: service, removal)
            case .ending:
                guard removal.parting.isEmpty else { continue }
                removal.stage = .closing
                service.endLife()
            case .closing:
                guard isDurable(service, &isMoreToDo) else { continue }
                removal.stage = .leaving
                for job in service.mailbox.takeJobs() { keepHouse(job) }
                // Nothing more: but when it is done, everything before it is too.
                keepHouse(.sync([]))
            case .leaving: continue
            }
            isMoreToDo = true
        }
        return isMoreToDo
    }

    /// Whether everything that the service has written is synced; sees to it if not.
    private func isDurable(_ service: Service, _ isMoreToDo: inout Bool) -> Bool {
        if service.mailbox.needsSync, !service.wantsCommit {
            commits(service)
            isMoreToDo = true
        }
        return !service.wantsCommit && !service.isTouched
            && commit.round?.services.contains { $0 === service } != true
    }

    private func endHosts(of service: Service, _ removal: Removal) {
        let standing = service.mailbox.standing
        do throws(SystemError) {
            try state.noteRemoval(
                service.name,
                StateDirectory.Removed(
                    images: [standing.release, standing.fallback?.release].compactMap(\.?.digest),
                    waiting: service.mailbox.unsettledCount))
        } catch {
            return keep(service, because: "its removal cannot be recorded: \(error)")
        }
        cancel(&removal.deadline)
        removal.stage = .ending
        removal.kept = service.mailbox.unsettledCount
        removal.parting = service.dismissHosts()
        for connection in connections.values {
            guard case .lines(let its) = connection.wire, its === service else { continue }
            turnAway(connection)
        }
    }

    /// A host has ended that somebody waits for.
    func hasParted(_ host: HostProcess) {
        host.service.removal?.parting.removeAll { $0 === host }
        host.service.hasParted(host)
    }

    /// The housekeeping thread has done what it was told before a service could leave.
    func housekeepingHasCaughtUp() {
        guard
            let index = leaving.firstIndex(where: {
                if case .leaving = $0.removal?.stage { true } else { false }
            })
        else { return }
        // What was done may have led to more.
        for job in leaving[index].mailbox.takeJobs() { keepHouse(job) }
        guard !leaving[index].mailbox.isKeepingHouse else { return keepHouse(.sync([])) }
        let service = leaving.remove(at: index)
        services[service.name] = nil
        memberIsGone(service)
        tellThoseWhoWait(for: service)
        guard let removal = service.removal else { return }
        let verdict = removal.verdict(of: service, .removed(kept: removal.kept), at: freshNow())
        emit(
            Event(
                .removed, service: service.name, from: verdict.from, digest: verdict.digest,
                cause: removal.kept == 0
                    ? "its mailbox is kept" : "its mailbox keeps \(removal.kept) messages"))
        service.answerConfirmationWaiters(verdict)
        statusChanged()
        removal.answer(verdict)
        service.abandon()
    }

    /// Their messages are kept, but whoever handles them one day does not know them any more.
    private func tellThoseWhoWait(for service: Service) {
        func tell(_ connection: Connection, _ slot: UInt64) {
            connection.replyError(
                slot, "UNAVAILABLE",
                "\(service.name) was removed before this message was handled: it is kept, and "
                    + "handled when \(service.name).so is back")
            flushes(connection)
        }
        for run in service.waiting.takeAll() {
            guard let connection = run.connection, connection.state != .closed else { continue }
            for slot in run.slot..<run.slot + run.count { tell(connection, slot) }
        }
        for call in service.repeats.values.joined() { tell(call.connection, call.slot) }
        service.repeats = [:]
    }

    /// It stays as it was.
    private func keep(_ service: Service, because reason: String) {
        guard let removal = service.removal else { return }
        cancel(&removal.deadline)
        service.removal = nil
        leaving.removeAll { $0 === service }
        do throws(SystemError) {
            try listen(.service(service), for: service.name)
        } catch { service.log.error("it has no socket any more: \(error)") }
        service.releaseHeldUp()
        let verdict = removal.verdict(of: service, .refused(.drain, reason: reason), at: freshNow())
        service.lastVerdict = verdict
        service.emit(.refused, of: verdict)
        statusChanged()
        removal.answer(verdict)
    }
}

extension Service {
    private var isUpgrading: Bool {
        attempt != nil || !queue.isEmpty || isFetchingImage || upgrade.state != .idle
    }

    /// Nothing is left to do for it: everything is handled, or it does not handle anything.
    fileprivate var hasDrained: Bool {
        guard !isUpgrading, !isHeldUpByCheckpoint else { return false }
        if mailbox.unsettledCount == 0 { return true }
        switch condition {
        case .stopped: return true
        case .starting, .serving, .restarting: return isHeld && current?.machine.isInCharge != true
        }
    }

    fileprivate var whatKeepsIt: String {
        if isUpgrading { return "an upgrade of it is under way: reload again when it is over" }
        if isHeld { return "it does not come to rest: \(busyText)" }
        let bound = supervisor.configuration.limits.drainTimeout
        let count = mailbox.unsettledCount
        return
            "\(count == 1 ? "1 message waits" : "\(count) messages wait") after \(bound): reload again later, or "
            + "'baton suspend \(name)' and reload to remove it with what waits"
    }

    /// Asks its hosts to end; nothing starts another.
    fileprivate func dismissHosts() -> [HostProcess] {
        supervisor.cancel(&probation)
        condition = .stopped(reason: "it is being removed")
        currentImage = nil
        versionBefore = nil
        let hosts = [current, candidate, old].compactMap(\.self)
        (current, candidate, old) = (nil, nil, nil)
        for host in hosts {
            supervisor.cancel(&host.deadline)
            end(host)
        }
        return hosts
    }
}
