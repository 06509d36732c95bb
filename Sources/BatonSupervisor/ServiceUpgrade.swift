// A service's upgrade: performs what UpgradeMachine decides. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging

/// Someone wants a service to run an image.
struct UpgradeRequest {
    var image: Image
    /// End a message that does not finish in time.
    var force = false
    var done: (Verdict) -> Void
}

/// The upgrade that runs.
struct UpgradeAttempt {
    var request: UpgradeRequest
    var fromVersion: String?
    var begun: Moment
    var suspended: Moment?
    var toVersion: String?
    var deadline: Timers.Handle?
}

extension Service {
    private var limits: Limits { supervisor.configuration.limits }
    var currentVersion: String? { mailbox.standing.release?.version }

    /// Upgrades of one service run one after the other.
    func request(_ request: UpgradeRequest) {
        queue.append(request)
        if upgrade.state == .idle { beginNext() }
    }

    private func beginNext() {
        guard !queue.isEmpty, !supervisor.isStopping else { return }
        let request = queue.removeFirst()
        attempt = UpgradeAttempt(
            request: request, fromVersion: currentVersion, begun: supervisor.now)
        if mailbox.standing.release?.digest == request.image.digest, currentImage != nil {
            finish(.current)
        } else {
            note(.prepare, "prepare", ["digest": "\(request.image.digest)"])
            perform(upgrade.begin())
        }
    }

    func perform(_ action: UpgradeMachine.Action) {
        switch action {
        case .nothing: break
        case .prepare: prepare()
        case .suspend: suspend()
        case .load: load()
        case .writeSwitch: writeSwitch()
        case .handOver: handOver()
        case .refuse(let phase, let reason, let resume): refuse(phase, reason, resume)
        }
    }

    // MARK: The phases

    private func prepare() {
        guard let image = attempt?.request.image else { return }
        do throws(SystemError) { candidate = try spawn(image) } catch {
            perform(upgrade.failed("a host cannot be started: \(error)"))
            return
        }
        expect(within: limits.prepareTimeout)
        supervisor.keep(image, for: self)
        supervisor.statusChanged()
    }

    func imageIsKept(_ fileName: String, _ error: SystemError?) {
        guard attempt?.request.image.fileName == fileName else { return }
        if let error {
            perform(upgrade.failed("the image cannot be kept: \(error)"))
        } else {
            perform(upgrade.imageIsDurable())
        }
    }

    private func suspend() {
        note(.suspend, "suspend", [:])
        attempt?.suspended = supervisor.freshNow()
        attempt?.toVersion = candidate?.version
        expect(within: limits.suspendTimeout)
        quiesceCurrent()
    }

    private func load() {
        guard let candidate, candidate.machine.state != .ending else {
            return perform(upgrade.candidateFailed("it has gone"))
        }
        note(.load, "load", [:])
        guard candidate.startedRevision != stateRevision else {
            return perform(upgrade.candidateStarted())
        }
        expect(within: limits.migrateTimeout)
        candidate.machine.startAgain()
        candidate.start(
            state: mailbox.standing.state, revision: stateRevision, limit: limits.stateBytes)
    }

    private func writeSwitch() {
        cancelDeadline()
        guard let attempt else { return }
        do throws(StoreError) {
            let release = MailboxMachine.Release(
                digest: attempt.request.image.digest, version: attempt.toVersion ?? "")
            try mailbox.switchTo(
                MailboxMachine.Switch(release: release, cause: .upgrade, at: 0, bootID: []))
            try mailbox.confirm()
            try mailbox.flush()
        } catch {
            perform(upgrade.failed("the switch cannot be written: \(error)"))
            return
        }
        switchRecord = .written
        supervisor.touch(self)
        supervisor.commits(self)
    }

    private func handOver() {
        purgeOld()
        old = current
        current = candidate
        candidate = nil
        currentImage = attempt?.request.image
        restartPolicy.forgive()
        let isFirst = attempt?.fromVersion == nil
        condition = .serving
        if current == nil { startCurrent() } else { resumeCurrent() }
        let now = supervisor.freshNow()
        let pause = now.since(attempt?.suspended ?? now)
        finish(
            isFirst
                ? .started
                : .upgraded(pause: pause, switchedAfter: mailbox.standing.switchedAfter))
        if isFirst { supervisor.isSettled(self) }
    }

    private func refuse(_ phase: Phase, _ reason: String, _ resume: Bool) {
        if let refused = candidate {
            candidate = nil
            refused.kill("its upgrade was refused")
        }
        if resume {
            if current == nil, currentImage != nil, !supervisor.isStopping { startCurrent() }
            resumeCurrent()
        }
        if currentImage == nil { stop(because: reason) }
        finish(.refused(phase, reason: reason))
    }

    private func cancelDeadline() {
        guard var deadline = attempt?.deadline.map(Optional.some) else { return }
        supervisor.cancel(&deadline)
        attempt?.deadline = nil
    }

    private func expect(within bound: Moment.Span) {
        cancelDeadline()
        attempt?.deadline = supervisor.after(bound) { self.boundHasPassed(bound) }
    }

    private func boundHasPassed(_ bound: Moment.Span) {
        if upgrade.state == .suspending, attempt?.request.force == true, let current {
            // Its end counts as a failed attempt at the message, which the new version is given.
            current.kill("it was busy, and the upgrade was forced")
            return
        }
        perform(upgrade.deadlinePassed(after: bound, busy: busyText))
    }

    // MARK: The verdict

    private func finish(_ outcome: Verdict.Outcome) {
        guard var ended = attempt else { return }
        supervisor.cancel(&ended.deadline)
        attempt = nil
        let verdict = Verdict(
            service: name, from: ended.fromVersion,
            to: ended.toVersion ?? (outcome == .current ? currentVersion : nil),
            digest: ended.request.image.digest, outcome: outcome,
            total: supervisor.freshNow().since(ended.begun))
        if outcome != .current {
            lastVerdict = verdict
            var fields: Logger.Metadata = ["digest": "\(ended.request.image.digest)"]
            switch outcome {
            case .refused(let phase, _): fields["phase"] = "\(phase.rawValue)"
            case .upgraded(let pause, let sequence):
                fields["phase"] = "resume"
                fields["pause_microseconds"] = "\(pause.microseconds)"
                fields["switched_after"] = "\(sequence)"
            case .started: fields["phase"] = "resume"
            case .current: break
            }
            if verdict.isRefused {
                log.error("\(verdict.summary)", metadata: fields)
            } else {
                log.notice("\(verdict.summary)", metadata: fields)
            }
        }
        supervisor.statusChanged()
        ended.request.done(verdict)
        if upgrade.state == .idle, attempt == nil { beginNext() }
    }

    private func note(_ phase: Phase, _ text: String, _ fields: Logger.Metadata) {
        var fields = fields
        fields["phase"] = "\(phase.rawValue)"
        log.debug("\(text)", metadata: fields)
    }
}
