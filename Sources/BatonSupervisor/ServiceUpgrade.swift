// A service's upgrade: performs what UpgradeMachine decides. A rollback is an upgrade whose candidate is
// the version before: ServiceRollback.swift chooses it, ServiceReplay.swift brings it up to date.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging

/// Someone wants a service to run another version.
struct UpgradeRequest {
    enum Goal {
        case image(Image)
        /// The version before. For what reason, and who says so.
        case versionBefore(MailboxMachine.Cause, reason: String)

        var isRollback: Bool { if case .versionBefore = self { true } else { false } }
    }

    var goal: Goal
    /// End a message that does not finish in time.
    var force = false
    /// How many of the last messages are rehearsed, and how many replies may differ; `nil`: as
    /// configured.
    var rehearse: Int?
    var allowed: Int?
    /// Nothing is to change.
    var isDryRun = false
    /// The verdict is wanted when the release is confirmed or rolled back, not at the switch.
    var waits = false
    /// When it was asked for, if that was before now: its image had to be read.
    var asked: Moment?
    var done: (Verdict) -> Void

    init(goal: Goal, done: @escaping (Verdict) -> Void) {
        self.goal = goal
        self.done = done
    }

    init(
        image: Image, force: Bool = false, rehearse: Int? = nil, allowed: Int? = nil,
        isDryRun: Bool = false, waits: Bool = false, done: @escaping (Verdict) -> Void
    ) {
        goal = .image(image)
        self.force = force
        self.rehearse = rehearse
        self.allowed = allowed
        self.isDryRun = isDryRun
        self.waits = waits
        self.done = done
    }

    var image: Image? { if case .image(let image) = goal { image } else { nil } }
}

/// The upgrade that runs.
struct UpgradeAttempt {
    var request: UpgradeRequest
    var fromVersion: String?
    var begun: Moment
    /// What the candidate is an image of.
    var image: Image
    var way = UpgradeMachine.Way.state
    /// The message that the current version died of, if that is why.
    var suspect: SequenceNumber?
    /// The version before, if it is what the candidate is.
    var target: RollbackTarget?
    var suspended: Moment?
    var toVersion: String?
    /// What was before the switch record.
    var releaseBefore: MailboxMachine.Release?
    var stateBefore: MailboxMachine.State?
    /// Its state, on its way into a slot, before the switch record names it.
    var checkpoint: UInt64?
    var rehearsal: Verdict.Rehearsal?
    var deadline: Timers.Handle?
}

extension Service {
    private var limits: Limits { supervisor.configuration.limits }
    var currentVersion: String? { mailbox.standing.release?.version }

    /// Upgrades of one service run one after the other.
    func request(_ request: UpgradeRequest) {
        queue.append(request)
        if attempt == nil, upgrade.state == .idle { beginNext() }
    }

    /// Begins the next upgrade that was asked for, if there is one.
    func beginNext() {
        guard !queue.isEmpty, attempt == nil, !isFetchingImage, !supervisor.isStopping else {
            return
        }
        let request = queue.removeFirst()
        switch request.goal {
        case .image(let image): begin(request, image)
        case .versionBefore(let cause, let reason): beginRollback(request, cause, reason)
        }
    }

    private func begin(_ request: UpgradeRequest, _ image: Image) {
        attempt = UpgradeAttempt(
            request: request, fromVersion: currentVersion, begun: request.asked ?? supervisor.now,
            image: image)
        if mailbox.standing.release?.digest == image.digest, currentImage != nil {
            return finish(.current)
        }
        guard mailbox.lost == nil else {
            return finish(
                .refused(
                    .prepare,
                    reason: "its state's checkpoint is damaged, and it has not come to its state "
                        + "again: 'baton resume \(name)' tries that"))
        }
        var plan = UpgradeMachine.Plan(isDryRun: request.isDryRun)
        plan.rehearses = rehearsalCount(request) > 0 && currentImage != nil
        begin(plan)
    }

    func begin(_ plan: UpgradeMachine.Plan) {
        attempt?.way = plan.way
        perform(upgrade.begin(plan))
    }

    func perform(_ action: UpgradeMachine.Action) {
        switch action {
        case .nothing: break
        case .rehearse: rehearse()
        case .prepare: prepare()
        case .suspend:
            supervisor.isPrepared(name)
            suspend()
        case .load: load()
        case .replay: replayMessages()
        case .tryMessage: tryMessage()
        case .writeSwitch: writeSwitch()
        case .handOver: handOver()
        case .refuse(let phase, let reason, let resume): refuse(phase, reason, resume)
        case .blameMessage(let reason): blameMessage(reason)
        case .endDryRun: endDryRun()
        }
    }

    // MARK: The phases

    private func prepare() {
        guard let attempt else { return }
        emit(.prepare, digest: attempt.image.digest)
        do throws(SystemError) { candidate = try spawn(attempt.image) } catch {
            perform(upgrade.failed("a host cannot be started: \(error)"))
            return
        }
        supervisor.reached(.prepare, self)
        expect(within: limits.prepareTimeout)
        if attempt.request.isDryRun {
            perform(upgrade.imageIsDurable())
        } else {
            supervisor.keep(attempt.image, for: self)
        }
        supervisor.statusChanged()
    }

    func imageIsKept(_ fileName: String, _ error: SystemError?) {
        guard attempt?.image.fileName == fileName else { return }
        if let error {
            perform(upgrade.failed("the image cannot be kept: \(error)"))
        } else {
            perform(upgrade.imageIsDurable())
        }
    }

    /// The state that a candidate is started with, which is a copy of the last one, or the one that
    /// a replay begins with.
    func start(candidate: HostProcess) {
        attempt?.toVersion = candidate.version
        if let target = attempt?.target, attempt?.way != .state {
            candidate.start(
                state: target.state, revision: 0, limit: limits.stateBytes, isDowngrade: false)
        } else if let replay, case .rehearsing = upgrade.state {
            candidate.start(
                state: replay.state, revision: 0, limit: limits.stateBytes, isDowngrade: false)
        } else {
            candidate.start(
                state: mailbox.standing.state, revision: stateRevision, limit: limits.stateBytes,
                isDowngrade: isDowngrade(to: candidate))
        }
    }

    private func suspend() {
        attempt?.suspended = supervisor.freshNow()
        attempt?.toVersion = candidate?.version
        emit(.suspend)
        expect(within: limits.suspendTimeout)
        quiesceCurrent()
    }

    private func load() {
        guard let candidate, candidate.machine.state != .ending else {
            return perform(upgrade.candidateFailed("it has gone"))
        }
        supervisor.reached(.suspended, self)
        purgeOld()
        supervisor.reached(.purged, self)
        emit(.load)
        // Wherever it stood in the log, it will be told where to go on.
        candidate.hasRun = false
        guard candidate.startedRevision != stateRevision else {
            return perform(upgrade.candidateStarted())
        }
        expect(within: limits.migrateTimeout)
        candidate.machine.startAgain()
        candidate.start(
            state: mailbox.standing.state, revision: stateRevision, limit: limits.stateBytes,
            isDowngrade: isDowngrade(to: candidate))
    }

    private func writeSwitch() {
        cancelDeadline()
        guard let attempt else { return }
        supervisor.reached(.migrated, self)
        if attempt.way != .state, let state = replay?.state, mailbox.isLarge(state.bytes.count) {
            return writeCheckpointOfSwitch(state)
        }
        writeSwitch(checkpoint: nil)
    }

    /// - Parameter checkpoint: where the state lies that a replay has led to, if that is large.
    func writeSwitch(checkpoint: Checkpoint?) {
        guard let attempt else { return }
        replay?.state?.checkpoint = checkpoint
        self.attempt?.releaseBefore = mailbox.standing.release
        self.attempt?.stateBefore = mailbox.standing.state
        do throws(StoreError) {
            try mailbox.switchTo(
                MailboxMachine.Switch(
                    release: MailboxMachine.Release(
                        digest: attempt.image.digest, version: attempt.toVersion ?? ""),
                    cause: attempt.target?.cause ?? .upgrade,
                    at: supervisor.ground.wallMilliseconds(), bootID: supervisor.ground.bootID,
                    state: attempt.way == .state ? nil : replay?.state,
                    dropsState: attempt.way != .state && replay?.state == nil))
            if settings.probation == .milliseconds(0) { try mailbox.confirm() }
            try mailbox.flush()
        } catch {
            perform(upgrade.failed("the switch cannot be written: \(error)"))
            return
        }
        if attempt.way != .state { stateRevision &+= 1 }
        switchRecord = .written
        supervisor.touch(self)
        supervisor.commits(self)
        supervisor.reached(.switchWritten, self)
    }

    private func handOver() {
        guard let attempt else { return }
        supervisor.reached(.switchDurable, self)
        noteVersionBefore()
        replay = nil
        history.forget()
        purgeOld()
        old = current
        current = candidate
        candidate = nil
        currentImage = attempt.image
        if attempt.target == nil { forgive() }
        condition = .serving
        // Also if it is not to go on, as the service is suspended by hand: it must not be handled again.
        if attempt.way == .replayAndTry, let current {
            whenTried(current) { self.goOnAfterSwitch() }
        } else {
            goOnAfterSwitch()
        }
        supervisor.reached(.resumed, self)
        let now = supervisor.freshNow()
        let pause = now.since(attempt.suspended ?? now)
        emit(.resume, duration: pause)
        let after = mailbox.standing.switchedAfter
        let outcome: Verdict.Outcome
        if case .versionBefore(let cause, let reason) = attempt.request.goal, cause != .recovery {
            outcome = .rolledBack(reason: reason, pause: pause, switchedAfter: after)
        } else if wasNotRunning {
            outcome = .started
        } else {
            outcome = .upgraded(pause: pause, switchedAfter: after)
        }
        wasNotRunning = false
        rollbackHasFailed = false
        suspect = nil
        beginProbation()
        supervisor.isSettled(self)
        // Last, as the next that was asked for begins with it.
        finish(outcome)
    }

    private func goOnAfterSwitch() {
        if current == nil { startCurrent() } else { resumeCurrent() }
    }

    private func refuse(_ phase: Phase, _ reason: String, _ resume: Bool) {
        giveUpCandidate("its upgrade was refused")
        suspect = nil
        if let target = attempt?.target, target.cause != .byHand {
            rollbackHasFailed = true
            if target.cause == .boot { beginProbation() }
        }
        let isOfBoot = attempt?.target?.cause == .boot
        if mailbox.lost != nil, !isOfBoot {
            stop(because: "its state's checkpoint is damaged, and \(reason)")
        } else if resume || isWithoutHost {
            goOn()
        }
        if currentImage == nil, attempt?.request.isDryRun != true { stop(because: reason) }
        finish(.refused(phase, reason: reason))
        if mailbox.lost != nil, isOfBoot { recoverState() }
    }

    /// Its host has gone, and nobody has taken it upon himself to start another.
    var isWithoutHost: Bool {
        guard current == nil else { return false }
        switch condition {
        case .starting, .serving: return true
        case .restarting, .stopped: return false
        }
    }

    /// The current version handles messages again.
    func goOn() {
        if current == nil, currentImage != nil, !supervisor.isStopping { startCurrent() }
        resumeCurrent()
    }

    /// The candidate is none any more. The version before stays warm, if it still stands where it was.
    func giveUpCandidate(_ reason: String) {
        let hasReplayed = replay != nil
        replay = nil
        guard let refused = candidate else { return }
        candidate = nil
        if case .ready = refused.machine.state, attempt?.target?.host === refused, refused.hasRun,
            !hasReplayed
        {
            old = refused
        } else {
            refused.kill(reason)
        }
    }

    private func endDryRun() {
        giveUpCandidate("it was only to be seen whether it can be taken")
        finish(wasNotRunning ? .wouldStart : .wouldUpgrade)
    }

    func cancelDeadline() {
        guard var deadline = attempt?.deadline.map(Optional.some) else { return }
        supervisor.cancel(&deadline)
        attempt?.deadline = nil
    }

    func expect(within bound: Moment.Span) {
        cancelDeadline()
        attempt?.deadline = supervisor.after(bound) { self.boundHasPassed(bound) }
    }

    private func boundHasPassed(_ bound: Moment.Span) {
        if case .suspending = upgrade.state, attempt?.request.force == true, let current {
            // Its end counts as a failed attempt at the message, which the new version is given.
            current.kill("it was busy, and the upgrade was forced")
            return
        }
        perform(upgrade.deadlinePassed(after: bound, busy: busyText))
    }

    // MARK: The verdict

    func finish(_ outcome: Verdict.Outcome) {
        guard var ended = attempt else { return }
        supervisor.cancel(&ended.deadline)
        attempt = nil
        mailbox.keepFrom = nil
        let verdict = Verdict(
            service: name, from: ended.fromVersion,
            to: ended.toVersion ?? (outcome == .current ? currentVersion : nil),
            digest: ended.image.digest, outcome: outcome,
            total: supervisor.freshNow().since(ended.begun), rehearsal: ended.rehearsal,
            isConfirmed: mailbox.standing.release == nil
                ? nil : mailbox.standing.fallback == nil)
        answer(ended.request, verdict)
        supervisor.statusChanged()
        beginNext()
    }

    private func answer(_ request: UpgradeRequest, _ verdict: Verdict) {
        // Of what was only tried nobody hears but who wanted to know.
        if request.isDryRun { return request.done(verdict) }
        switch verdict.outcome {
        case .current, .wouldStart, .wouldUpgrade, .wouldRemove: return request.done(verdict)
        case .started, .removed: emit(.started, of: verdict)
        case .refused: emit(.refused, of: verdict)
        case .rolledBack: emit(.rolledBack, of: verdict)
        case .upgraded: emit(.upgraded, of: verdict)
        }
        lastVerdict = verdict
        answerConfirmationWaiters(verdict)
        if request.waits, mailbox.standing.fallback != nil, case .upgraded = verdict.outcome {
            confirmationWaiters.append((verdict, request.done))
        } else {
            request.done(verdict)
        }
    }
}
