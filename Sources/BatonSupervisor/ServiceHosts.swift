// A service's hosts: how they are started, what is done with what they say, and what follows from
// their end. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire
import Glibc
import Logging

extension Service {
    private var limits: Limits { supervisor.configuration.limits }

    // MARK: Starting

    /// Starts a host; its end is seen by the supervisor.
    func spawn(_ image: Image) throws(SystemError) -> HostProcess {
        let host = try HostProcess(
            self, image: image, program: supervisor.configuration.hostProgram,
            memoryLimit: limits.hostMemory)
        try supervisor.watch(host)
        return host
    }

    /// Starts the current version (again), with the last settled state.
    func startCurrent() {
        guard let image = currentImage, current == nil else { return }
        guard mailbox.lost == nil else { return recoverState() }
        do throws(SystemError) {
            let host = try spawn(image)
            current = host
            condition = .serving
            host.deadline = supervisor.after(limits.prepareTimeout) { [weak host] in
                host?.kill("it was not ready within \(self.limits.prepareTimeout)")
            }
        } catch {
            log.error("its host cannot be started, and is tried again: \(error)")
            startLater(after: Self.untilItPasses)
        }
    }

    /// What bars a start may not be the service's fault, and pass.
    private static let untilItPasses = Moment.Span.seconds(1)

    private func startLater(after wait: Moment.Span) {
        condition = .restarting
        _ = supervisor.after(wait) {
            guard self.condition == .restarting, !self.upgradeDecides else { return }
            self.startCurrent()
        }
    }

    /// Nothing runs until the operator does something.
    func stop(because reason: String) {
        condition = .stopped(reason: reason)
        emit(.stopped, cause: reason)
        supervisor.isSettled(self)
    }

    // MARK: What hosts say

    func channelIsReadable(_ host: HostProcess) {
        // What a host says that is being ended does not matter.
        while host.endReason == nil {
            switch host.hear(now: supervisor.now) {
            case .nothing: return
            case .end:
                // Its pidfd tells the rest, if it has not only closed the channel.
                supervisor.stopWatchingChannel(of: host)
                host.killSilently()
                return
            case .violation(let reason):
                violation(host, reason)
                return
            case .report(let report): heard(report, from: host)
            }
        }
    }

    private func heard(_ report: HostReport, from host: HostProcess) {
        let said: HostMachine.Said
        switch report {
        case .loaded(
            _, let version, _, let sandbox, let hasState, let stateVersion, let takesFrom,
            let takesTo):
            host.version = version
            host.mayHaveState = hasState
            host.stateVersion = stateVersion
            host.takesStates = (takesFrom, takesTo)
            supervisor.noteSandbox(sandbox)
            said = .loaded
        case .started: said = .started
        case .refused(let reason): said = .refused(reason: reason)
        case .suspended(let generation):
            // Everything published before these words is in the ring.
            if host === candidate { takeReplayed() }
            return whenTaken(host) { self.heard(.suspended(generation: generation), host) }
        case .log(let level, let text):
            note(level, text, host)
            said = .log
        case .large:
            // It stands in the ring by the time of the next one: so only few are ever held.
            if host === current { takeOutcomes() }
            if host === candidate { takeReplayed() }
            return
        }
        heard(said, host)
    }

    private func heard(_ said: HostMachine.Said, _ host: HostProcess) {
        // What was just taken may have broken the rules.
        guard host.endReason == nil else { return }
        switch host.machine.said(said) {
        case .nothing, .log: break
        case .hasLoaded: hasLoaded(host)
        case .hasStarted: hasStarted(host)
        case .isSuspended: isSuspended(host)
        case .refuses(let reason): refused(host, reason)
        case .violation(let reason): violation(host, reason)
        }
    }

    private func hasLoaded(_ host: HostProcess) {
        guard host === candidate else {
            return host.start(
                state: mailbox.standing.state, revision: stateRevision, limit: limits.stateBytes,
                isDowngrade: isDowngrade(to: host))
        }
        supervisor.reached(.loaded, self)
        if let attempt, attempt.way == .state, let state = mailbox.standing.state,
            let fault = host.fault(taking: state)
        {
            return perform(upgrade.candidateFailed(fault))
        }
        start(candidate: host)
    }

    /// Whether the state was made by newer code than the host's.
    func isDowngrade(to host: HostProcess) -> Bool {
        if host === candidate, attempt?.target != nil { return true }
        guard let state = mailbox.standing.state, state.format != 0 else { return false }
        return host.stateVersion != 0 && host.stateVersion < state.format
    }

    private func hasStarted(_ host: HostProcess) {
        supervisor.cancel(&host.deadline)
        if host === candidate {
            if case .rehearsing = upgrade.state {
                return candidateTookState(toRehearse: host)
            }
            if attempt?.way == .state { sendSegments(to: host) }
            perform(upgrade.candidateStarted())
        } else if host === current {
            wasNotRunning = false
            resumeCurrent()
            supervisor.isSettled(self)
        }
    }

    private func refused(_ host: HostProcess, _ reason: String) {
        if host === candidate {
            perform(upgrade.candidateFailed(reason))
        } else {
            host.kill(reason)
        }
    }

    func violation(_ host: HostProcess, _ reason: String) {
        guard host.endReason == nil else { return }
        log.critical("host \(host.pid) is ended: \(reason)", metadata: ["event": "security"])
        supervisor.stopWatchingChannel(of: host)
        host.kill(reason)
    }

    private func note(_ level: UInt8, _ text: String, _ host: HostProcess) {
        let metadata: Logger.Metadata = [
            "version": "\(host.version ?? "unknown")", "pid": "\(host.pid)",
        ]
        // One line of theirs is one line of ours, whatever is in it.
        let text = String(
            String.UnicodeScalarView(
                text.unicodeScalars.map {
                    $0.properties.generalCategory == .control ? " " : $0
                }))
        switch level {
        case 0: log.debug("\(text)", metadata: metadata)
        case 1: log.info("\(text)", metadata: metadata)
        case 2: log.warning("\(text)", metadata: metadata)
        default: log.error("\(text)", metadata: metadata)
        }
    }

    // MARK: Handing the cursor

    /// Lets the current host handle messages, if nothing bars it.
    func resumeCurrent() {
        guard !isHeld, !supervisor.isStopping, let host = current else { return }
        switch host.machine.state {
        case .ready, .suspending:
            if host.hasRun {
                host.proceed(mailbox.standing)
            } else {
                sendSegments(to: host)
                let standing = mailbox.standing
                host.run(from: mailbox.position(of: standing.settled.next), standing)
            }
            publish()
            supervisor.noteBusy(self)
            // While it was suspended nobody looked.
            watchProgress()
        case .loading, .starting, .running, .replaying, .ending: break
        }
    }

    /// Lets the current host finish the message in hand; `currentIsQuiet` follows.
    func quiesceCurrent() {
        guard let host = current else { return currentIsQuiet() }
        switch host.machine.state {
        case .running: host.suspend()
        case .suspending: break
        case .ready, .replaying: currentIsQuiet()
        // It was being started again: the message path does not need it.
        case .loading, .starting: host.kill("it is not needed")
        case .ending: break
        }
    }

    private func isSuspended(_ host: HostProcess) {
        if host === candidate { return candidateIsQuiet(host) }
        guard host === current else { return }
        currentIsQuiet()
    }

    func currentIsQuiet() {
        answerSuspendWaiters()
        supervisor.isQuiet(self)
        perform(upgrade.currentIsQuiet())
    }

    private func answerSuspendWaiters() {
        for waiter in takeSuspendWaiters() { waiter(nil) }
    }

    private func takeSuspendWaiters() -> [(String?) -> Void] {
        defer { suspendWaiters = [] }
        return suspendWaiters
    }

    // MARK: The end of a host

    func hasEnded(_ host: HostProcess, _ exit: Spawn.Exit) {
        supervisor.cancel(&host.deadline)
        let reason = host.endReason ?? "it ended with \(exit)"
        if host === candidate {
            candidate = nil
            let text = endText(of: host, reason)
            // Too late for a refusal: another is started when the switch is durable.
            if upgrade.state == .switching {
                emit(.hostEnded, cause: "the new version's: \(text)", pid: host.pid)
            }
            if case .trying = upgrade.state,
                host.ring.load(.inHand) != attempt?.suspect?.value
            {
                perform(upgrade.failed("\(text), but not of the message that it was to try"))
            } else {
                perform(upgrade.candidateFailed(text))
            }
        } else if host === old {
            old = nil
            emit(.hostEnded, cause: "the old version's: \(reason)", pid: host.pid)
        } else if host === current {
            currentHasEnded(
                host, reason, wasNormal: host.endReason == nil && exit == .code(0))
        }
    }

    private func endText(of host: HostProcess, _ reason: String) -> String {
        switch host.machine.state {
        case .loading: "\(reason) while the image was loaded: a constructor, or the file is damaged"
        case .starting: "\(reason) in start"
        case .replaying: "\(reason) while it handled messages again"
        case .ready, .running, .suspending, .ending: reason
        }
    }

    private func currentHasEnded(_ host: HostProcess, _ reason: String, wasNormal: Bool) {
        // What it published before it died counts.
        takeOutcomes(all: true)
        current = nil
        history.forget()
        let word = host.ring.load(.inHand)
        let wasHandling = host.machine.state != .ending || host.endReason != nil
        host.machine.end()
        let message = wasHandling && word != 0 ? messageInHand(word) : nil
        emit(.hostEnded, cause: reason, pid: host.pid, message: message?.value)
        if let message { countAttempt(message) }
        answerSuspendWaiters()
        switch upgrade.state {
        case .suspending:
            // Nothing of it is needed any more: the state is what was settled.
            currentIsQuiet()
        case .loading, .replaying, .trying, .switching: break
        case .idle, .rehearsing, .preparing: follow(theEndFor: reason, message, wasNormal)
        }
    }

    /// The current host has died while no upgrade needs it: it is started again, or its version is
    /// rolled back.
    private func follow(
        theEndFor reason: String, _ message: SequenceNumber?, _ wasNormal: Bool
    ) {
        if supervisor.isStopping { return currentIsQuiet() }
        // A rollback begins as soon as its image is there; without it the service goes on.
        if isFetchingImage { return }
        // Its message could not be set aside.
        if case .stopped = condition { return }
        if waitsForRoom {
            waitsForRoom = false
            return startLater(after: Self.untilItPasses)
        }
        // A message that has been set aside now has killed the version before, too.
        let isMessagesFault = message.map { mailbox.standing.dead.contains($0.value) } ?? false
        guard attempt?.request.goal.isRollback != true, wouldRollBack, !isMessagesFault,
            !mayEnd(wasNormal)
        else { return restartAfterEnd(reason, wasNormal: wasNormal) }
        if let message, mailbox.standing.attempts[message.value] != nil { suspect = message }
        rollBack(because: "\(currentVersion ?? "it") failed in its probation: \(reason)")
    }

    /// The message that `word`, which a host may have scribbled over, can mean.
    private func messageInHand(_ word: UInt64) -> SequenceNumber? {
        let standing = mailbox.standing
        var next = standing.settled.next
        while standing.dead.contains(next.value) { next = next.next }
        guard next <= mailbox.appended else { return nil }
        // Messages that are handled one at a time are settled one at a time.
        let isSingle = next.value <= standing.carefulThrough
        let isPossible =
            word >= next.value && word <= mailbox.appended.value && !standing.dead.contains(word)
        return isPossible && !isSingle ? SequenceNumber(word) : next
    }

    /// Whether its host may end so without anybody's fault.
    private func mayEnd(_ wasNormal: Bool) -> Bool {
        switch settings.restart {
        case .permanent: false
        case .transient, .temporary: wasNormal
        }
    }

    private func restartAfterEnd(_ reason: String, wasNormal: Bool) {
        if supervisor.groupHasLost(self, reason, wasNormal: wasNormal) { return }
        switch restartPolicy.died(at: supervisor.now, wasNormal: wasNormal) {
        case .stop(let why):
            guard !rollsBackRatherThanStop(reason, wasNormal: wasNormal) else { return }
            stop(because: "\(reason); \(why)")
        case .restart(let wait):
            restarts += 1
            emit(.restarting, duration: wait)
            if wait > .milliseconds(0) { startLater(after: wait) } else { startCurrent() }
        }
    }

    /// The image may be at fault: before the service stops, the version before is tried.
    func rollsBackRatherThanStop(_ reason: String, wasNormal: Bool) -> Bool {
        guard !rollbackHasFailed, versionBefore != nil, !mayEnd(wasNormal) else { return false }
        rollbackHasFailed = true
        rollBack(
            because: "its host died more than \(settings.restarts) times in "
                + "\(settings.restartPeriod), at last: \(reason)")
        return true
    }

    /// Ends the version before the current one: asked first, then made to.
    func purgeOld() {
        guard let host = old else { return }
        old = nil
        emit(.purge, cause: "soft", pid: host.pid)
        end(host)
    }

    func end(_ host: HostProcess) {
        host.stop()
        host.deadline = supervisor.after(limits.stopTimeout) { [weak host] in
            guard let host else { return }
            host.kill("it did not end within \(self.limits.stopTimeout)")
            self.emit(.purge, cause: "hard: it did not end by itself", pid: host.pid)
        }
    }

    // MARK: By hand

    /// - Parameter done: given `nil`, or why it is not suspended.
    func suspendByHand(_ done: @escaping (String?) -> Void) {
        guard !upgradeDecides else {
            return done("BUSY an upgrade of \(name) is under way: wait for it")
        }
        isHeld = true
        guard let host = current else { return done(nil) }
        switch host.machine.state {
        case .ready, .loading, .starting, .replaying, .ending: return done(nil)
        case .running, .suspending: break
        }
        var answered = false
        suspendWaiters.append { reason in
            if !answered {
                answered = true
                done(reason)
            }
        }
        if case .running = host.machine.state { host.suspend() }
        _ = supervisor.after(limits.suspendTimeout) {
            guard !answered else { return }
            answered = true
            let busy = self.busyText
            self.isHeld = false
            self.resumeCurrent()
            done("BUSY \(busy) after \(self.limits.suspendTimeout): try again later")
        }
    }

    /// - Returns: why it cannot be now, if so.
    func resumeByHand() -> String? {
        if case .stopped = condition, upgradeDecides {
            // Another host beside the candidate would be a second one in charge.
            return "BUSY an upgrade of \(name) is under way, and starts it: wait for it"
        }
        isHeld = false
        for waiter in takeSuspendWaiters() {
            waiter("BUSY it was resumed before the message in hand was finished")
        }
        if case .stopped = condition, currentImage != nil {
            forgive()
            startCurrent()
        } else if !upgradeDecides {
            resumeCurrent()
        }
        return nil
    }
}
