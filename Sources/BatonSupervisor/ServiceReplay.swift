// Settled messages handled once more by a candidate: by the version before, so that it comes to the
// state from which it can go on (a rollback), or by a new one, to see what it would have replied (a
// rehearsal). Nothing of it leaves: replies are discarded or compared, states are kept apart.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import Glibc

/// A replay under way.
struct Replay {
    /// The last message that has been handled again.
    var cursor: SequenceNumber
    /// The last one that is to be.
    var through: SequenceNumber
    /// The state after `cursor`; at first the one it begins with.
    var state: MailboxMachine.State?
    /// Dead letters among them that the mailbox does not know as such any more.
    var passed: Set<UInt64> = []
    /// What was replied when they were handled for the first time, if that is to be compared.
    var rehearsal: Rehearsal?
}

extension Service {
    private var limits: Limits { supervisor.configuration.limits }

    /// The candidate handles what was settled since it had its state.
    func replayMessages() {
        supervisor.reached(.suspended, self)
        supervisor.reached(.purged, self)
        emit(.load, cause: "replay")
        guard let target = attempt?.target, let candidate else {
            return perform(upgrade.candidateFailed("it has gone"))
        }
        replay = Replay(
            cursor: target.settled, through: mailbox.standing.settled, state: target.state,
            passed: target.passed)
        guard target.settled < mailbox.standing.settled else {
            // It is told where to go on, and what to pass over.
            candidate.hasRun = false
            return perform(upgrade.candidateIsQuiet())
        }
        expect(within: limits.replayTimeout)
        replay(to: candidate)
    }

    /// Has the candidate handle the messages of `replay`.
    func replay(to candidate: HostProcess) {
        guard let replay else { return }
        let first = replay.cursor.next
        sendSegments(to: candidate, from: first)
        candidate.replay(
            from: mailbox.position(of: first), sequence: first, through: replay.through,
            dead: mailbox.standing.dead.union(replay.passed))
        publish(to: candidate)
        supervisor.noteBusy(self)
    }

    /// The candidate is given the messages up to the one that the current version died of. What comes
    /// of them stays in its ring: it counts if the candidate becomes current, and only then.
    func tryMessage() {
        guard let candidate, let suspect = attempt?.suspect, let replay else {
            return perform(upgrade.failed("there is no message to try"))
        }
        expect(within: limits.replayTimeout)
        let first = replay.through.next
        sendSegments(to: candidate, from: first)
        candidate.replay(
            from: mailbox.position(of: first), sequence: first, through: suspect,
            dead: mailbox.standing.dead)
        publish(to: candidate)
    }

    /// Both versions died of it: it is the message's fault.
    func blameMessage(_ reason: String) {
        let suspect = attempt?.suspect ?? mailbox.standing.settled.next
        self.suspect = nil
        giveUpCandidate("its rollback is not needed")
        let attempts = (mailbox.standing.attempts[suspect.value] ?? 0) + 1
        let isSetAside = setAside(suspect, after: attempts)
        // Else the restarts of the current version bound what it may do.
        if !isSetAside { rollbackHasFailed = true }
        if case .stopped = condition {} else { goOn() }
        finish(
            .refused(
                .load,
                reason: "message \(suspect) killed both versions (\(reason))"
                    + (isSetAside ? " and was set aside" : " and cannot be set aside")))
    }

    // MARK: What comes of it

    /// Takes what the candidate has published in a replay.
    func takeReplayed() {
        guard let candidate, candidate.machine.isReplaying, upgrade.state != .trying,
            var replay
        else { return }
        candidate.reader.begin(candidate.ring)
        var fault: String?
        taking: while fault == nil {
            switch candidate.reader.next(candidate.ring) {
            case .empty: break taking
            case .violation(let reason): fault = reason
            case .entry(let kind, let sequence, let payload):
                fault = unsafe take(kind, sequence, payload, candidate, &replay)
            }
        }
        candidate.outcomesTaken()
        self.replay = replay
        if let fault { violation(candidate, "in a replay: \(fault)") }
    }

    /// - Returns: what is wrong with it, if anything.
    private func take(
        _ kind: OutcomeKind, _ sequence: UInt64, _ payload: UnsafeRawBufferPointer,
        _ candidate: HostProcess, _ replay: inout Replay
    ) -> String? {
        switch kind {
        case .reply, .largeReply, .failure, .passed:
            guard sequence == replay.cursor.value &+ 1, sequence <= replay.through.value else {
                return "an outcome for message \(sequence) where \(replay.cursor.next) is due"
            }
            if kind == .largeReply {
                switch candidate.takeLarge(limit: limits.messageBytes, now: supervisor.now) {
                // Its sender was told so the first time.
                case .bytes, .tooLarge: break
                case .missing: return "a large reply did not come"
                }
            }
            unsafe replay.rehearsal?.compare(kind, sequence, payload)
            replay.cursor = replay.cursor.next
        case .state, .largeState:
            guard sequence == replay.cursor.value else {
                return "a state after message \(sequence) where \(replay.cursor) was the last"
            }
            var bytes = unsafe Array(payload)
            if kind == .largeState {
                guard
                    case .bytes(let large) = candidate.takeLarge(
                        limit: limits.stateBytes, now: supervisor.now)
                else { return "a large state did not come, or is too large" }
                bytes = large
            }
            replay.state = MailboxMachine.State(
                bytes: bytes, version: candidate.version ?? "", format: candidate.stateVersion)
        case .skip: return "a skip where an outcome is due"
        }
        return nil
    }

    /// The candidate says that it stands still.
    func candidateIsQuiet(_ candidate: HostProcess) {
        switch upgrade.state {
        case .rehearsing: endRehearsal()
        case .replaying:
            guard let replay, replay.cursor == replay.through else {
                return violation(candidate, "it stopped in the middle of a replay")
            }
            perform(upgrade.candidateIsQuiet())
        case .trying: perform(upgrade.candidateIsQuiet())
        case .idle, .preparing, .suspending, .loading, .switching: break
        }
    }
}
