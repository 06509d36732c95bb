// The way back: which version a rollback goes to and how it comes to the state, the probation of a new
// release and its end. Runs in batond.
//
// Invariants: a rollback is decided by a switch record like every upgrade; it never undoes what was
// answered; a version that was rolled back from by itself is not gone back to by itself.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging

/// A version to go back to, and where it stands.
struct RollbackTarget {
    var release: MailboxMachine.Release
    var cause: MailboxMachine.Cause
    /// The version's warm host.
    var host: HostProcess?
    /// The state it had when the switch came, and the cursor then.
    var state: MailboxMachine.State?
    var settled: SequenceNumber
    /// Messages since then that are dead letters.
    var passed: Set<UInt64> = []
}

/// The version that was current before: kept, with its host, for a rollback.
struct VersionBefore {
    var release: MailboxMachine.Release
    var image: Image
    var state: MailboxMachine.State?
    var settled: SequenceNumber
    var passed: Set<UInt64> = []
}

extension Service {
    private var limits: Limits { supervisor.configuration.limits }

    // MARK: Where to

    /// At the hand-over: what was current until now is what a rollback goes back to. A version that
    /// has just failed is not.
    func noteVersionBefore() {
        guard let attempt, let image = currentImage, let release = attempt.releaseBefore else {
            versionBefore = nil
            return
        }
        if let target = attempt.target, target.cause != .byHand {
            versionBefore = nil
        } else {
            versionBefore = VersionBefore(
                release: release, image: image, state: attempt.stateBefore,
                settled: mailbox.standing.switchedAfter, passed: mailbox.standing.dead)
        }
    }

    /// What a rollback would go to: the version before, else the confirmed release.
    private func rollbackTarget(_ cause: MailboxMachine.Cause) -> RollbackTarget? {
        if let before = versionBefore, cause != .boot, cause != .recovery {
            return RollbackTarget(
                release: before.release, cause: cause, host: old, state: before.state,
                settled: before.settled, passed: before.passed)
        }
        if cause == .recovery, let release = mailbox.standing.release, let lost = mailbox.lost {
            return RollbackTarget(
                release: release, cause: cause, host: nil, state: lost.state,
                settled: lost.settled)
        }
        guard let fallback = mailbox.standing.fallback else { return nil }
        return RollbackTarget(
            release: fallback.release, cause: cause, host: nil, state: fallback.state,
            settled: fallback.settled)
    }

    /// Whether a crash of the current version leads back to the one before.
    var wouldRollBack: Bool {
        !rollbackHasFailed && mailbox.standing.fallback != nil
            && rollbackTarget(.rollback) != nil
    }

    /// Why a reload, which may be meant for other services, does not take this image again: it has
    /// just been rolled back from.
    func fault(with image: Image) -> String? {
        let history = mailbox.standing.history
        guard let last = history.last, last.cause == .rollback,
            last.release == mailbox.standing.release,
            let failed = history.dropLast().last?.release, failed.digest == image.digest
        else { return nil }
        return
            "this image, \(failed.version), was rolled back from, as it failed: put another in its "
            + "place, or 'baton upgrade \(name)' to try it again"
    }

    // MARK: By whom

    /// - Parameter force: end a message that does not finish in time.
    /// - Parameter done: is given `rolledBack`, or `refused`.
    func rollbackByHand(force: Bool = false, _ done: @escaping (Verdict) -> Void) {
        var request = UpgradeRequest(
            goal: .versionBefore(.byHand, reason: "asked for by 'baton rollback'"), done: done)
        request.force = force
        self.request(request)
    }

    /// The current version has failed. What was asked for meanwhile comes after it.
    func rollBack(because reason: String, _ cause: MailboxMachine.Cause = .rollback) {
        queue.insert(
            UpgradeRequest(goal: .versionBefore(cause, reason: reason)) { _ in }, at: 0)
        if attempt != nil {
            perform(upgrade.failed("the version it comes from has failed: \(reason)"))
        }
        beginNext()
    }

    func beginRollback(
        _ request: UpgradeRequest, _ cause: MailboxMachine.Cause, _ reason: String
    ) {
        guard let target = rollbackTarget(cause) else {
            return refuseRollback(
                request,
                "there is no version before \(currentVersion ?? "it") to go back to: "
                    + "'baton versions \(name)' lists the images, 'baton upgrade \(name) --image' "
                    + "takes one")
        }
        if let host = target.host, host.machine.state == .ready, let before = versionBefore {
            return begin(request, to: target, image: before.image)
        }
        if let before = versionBefore, before.release == target.release {
            return begin(request, to: target, image: before.image)
        }
        if let image = currentImage, image.digest == target.release.digest {
            return begin(request, to: target, image: image)
        }
        isFetchingImage = true
        supervisor.fetch(target.release.digest) { image in
            self.isFetchingImage = false
            guard let image else {
                return self.refuseRollback(
                    request,
                    "the image \(target.release.digest.short) of \(target.release.version) is not "
                        + "in the image store any more")
            }
            self.begin(request, to: target, image: image)
        }
    }

    private func begin(_ request: UpgradeRequest, to target: RollbackTarget, image: Image) {
        var target = target
        if target.host?.machine.state != .ready { target.host = nil }
        let way = way(to: target)
        if way == .state, mailbox.lost != nil {
            return refuseRollback(
                request,
                "its state's checkpoint is damaged, and what it would have to handle again is not "
                    + "in the log any more")
        }
        if way == .state, let state = mailbox.standing.state,
            let fault = target.host?.fault(taking: state)
        {
            return refuseRollback(
                request,
                "\(fault); what it would have to handle again is not in the log any more")
        }
        if way != .state { mailbox.keepFrom = target.settled }
        attempt = UpgradeAttempt(
            request: request, fromVersion: currentVersion, begun: supervisor.now, image: image,
            target: target)
        attempt?.toVersion = target.release.version
        attempt?.suspect = suspect
        if let host = target.host {
            candidate = host
            old = nil
        }
        begin(UpgradeMachine.Plan(way: way, isWarm: target.host != nil))
    }

    /// It takes the state as it is, if it says that it can; else it handles again what was settled
    /// since, as long as all of that is still in the log.
    private func way(to target: RollbackTarget) -> UpgradeMachine.Way {
        if suspect == nil, mailbox.lost == nil, takesState(target) { return .state }
        guard mailbox.oldestKept <= target.settled.next else { return .state }
        return suspect == nil ? .replay : .replayAndTry
    }

    /// Whether the version before can take the state as it is, and as the current version may still
    /// leave it before it is suspended.
    private func takesState(_ target: RollbackTarget) -> Bool {
        let state = mailbox.standing.state
        if state == nil, target.state == nil { return current?.mayHaveState != true }
        guard let host = target.host, let state, host.takes(state.format) else { return false }
        return current.map { host.takes($0.stateVersion) } ?? true
    }

    private func refuseRollback(_ request: UpgradeRequest, _ reason: String) {
        let verdict = Verdict(
            service: name, from: currentVersion, to: nil, digest: nil,
            outcome: .refused(.prepare, reason: reason), total: .milliseconds(0))
        lastVerdict = verdict
        emit(.refused, of: verdict)
        request.done(verdict)
        if case .versionBefore(let cause, _) = request.goal, cause != .byHand {
            rollbackHasFailed = true
            suspect = nil
            if cause == .boot { beginProbation() }
        }
        if isWithoutHost {
            if mailbox.lost == nil {
                goOn()
            } else {
                stop(because: "its state's checkpoint is damaged, and \(reason)")
            }
        }
        beginNext()
    }

    // MARK: Boot

    /// batond has started, and this is the release's image. If the machine was booted before the
    /// release was confirmed, the confirmed one takes over from it before it handles anything.
    func boot(_ image: Image) {
        currentImage = image
        let standing = mailbox.standing
        if standing.fallback != nil, standing.bootID != supervisor.ground.bootID {
            rollBack(
                because: "the machine was booted before \(currentVersion ?? "it") was confirmed",
                .boot)
        } else {
            startCurrent()
            beginProbation()
        }
    }

    // MARK: Probation

    /// A new release is provisional until its probation is over.
    func beginProbation() {
        supervisor.cancel(&probation)
        probationEnds = nil
        guard mailbox.standing.fallback != nil else { return }
        let span = settings.probation
        probationEnds = supervisor.freshNow().advanced(by: span)
        probation = supervisor.after(span) { [weak self] in
            self?.confirm(because: "its probation of \(span) is over")
        }
    }

    /// - Returns: `nil`, or what is in the way.
    func confirmByHand() -> String? {
        guard mailbox.standing.release != nil else {
            return "REFUSED nothing of \(name) has run yet: there is no release to confirm"
        }
        if attempt?.target != nil {
            return "BUSY \(name) is being rolled back: see 'baton status \(name)'"
        }
        confirm(because: "confirmed by hand")
        return nil
    }

    func confirm(because cause: String) {
        guard mailbox.standing.fallback != nil else { return }
        // A rollback is under way: it decides.
        guard attempt?.target == nil else {
            probation = supervisor.after(.seconds(1)) { [weak self] in
                self?.confirm(because: cause)
            }
            return
        }
        do throws(StoreError) { try mailbox.confirm() } catch {
            guard case .noRoom = error else { return supervisor.fail("\(name): \(error)") }
            log.warning("its release is not confirmed yet: \(error)")
            probation = supervisor.after(.seconds(1)) { [weak self] in
                self?.confirm(because: cause)
            }
            return
        }
        supervisor.cancel(&probation)
        probationEnds = nil
        // The log is let go of; the version before stays warm, and can take the state if it says so.
        supervisor.touch(self)
        supervisor.commits(self)
        emit(.confirmed, cause: cause)
        for (verdict, done) in takeConfirmationWaiters() {
            var confirmed = verdict
            confirmed.isConfirmed = true
            done(confirmed)
        }
        supervisor.statusChanged()
    }

    /// What is kept for a rollback is bounded: a release that has handled so much is no candidate for
    /// one any more.
    func boundProbation() {
        guard probationEnds != nil, attempt?.target == nil,
            mailbox.keptBytes > limits.probationBytes
        else { return }
        confirm(because: "it has handled \(limits.probationBytes >> 20) MiB of messages")
    }

    // MARK: Who waits for it

    private func takeConfirmationWaiters() -> [(Verdict, (Verdict) -> Void)] {
        defer { confirmationWaiters = [] }
        return confirmationWaiters
    }

    /// Another verdict overtakes those that waited for a confirmation.
    func answerConfirmationWaiters(_ verdict: Verdict) {
        guard !confirmationWaiters.isEmpty else { return }
        switch verdict.outcome {
        case .rolledBack(let reason, let pause, let after):
            for (waiting, done) in takeConfirmationWaiters() {
                var undone = waiting
                undone.outcome = .rolledBack(reason: reason, pause: pause, switchedAfter: after)
                undone.isConfirmed = verdict.isConfirmed
                done(undone)
            }
        case .upgraded, .started:
            for (waiting, done) in takeConfirmationWaiters() { done(waiting) }
        case .removed:
            for (waiting, done) in takeConfirmationWaiters() {
                var cut = waiting
                cut.outcome = .refused(
                    .resume, reason: "\(name) was removed before its release was confirmed")
                done(cut)
            }
        case .current, .refused, .wouldStart, .wouldUpgrade, .wouldRemove: break
        }
    }
}
