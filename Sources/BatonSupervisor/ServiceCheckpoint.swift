// A service's large states: each is made durable in a slot, on the checkpoint thread, before the record
// that names it is written. Runs in batond.
//
// Invariants: while a state is on its way, nothing is taken from the current host's ring: the outcomes
// that belong to it wait there, and so does their host, which goes on when they are taken. One state
// of a service is on its way at a time. A state that has no room waits for it, and so do outcomes whose
// records have none, and nothing is lost.

import BatonCore
import BatonLinux
import BatonStore
import Logging

/// A state that comes with outcomes.
enum NewState {
    case inline([UInt8])
    /// Durable in a slot.
    case slotted(CheckpointSlot.Written)

    var bytes: [UInt8] {
        switch self {
        case .inline(let bytes): bytes
        case .slotted(let written): written.bytes
        }
    }
}

/// A large state on its way.
struct CheckpointRun {
    enum Purpose {
        /// The next large state in this host's ring.
        case outcomes(HostProcess)
        /// What a replay has led to: the switch record of this number waits for it.
        case switchRecord(UInt64)
        /// The state there is, for another slot.
        case copy
    }

    var purpose: Purpose
    var source: CheckpointSlot.Source
}

enum CheckpointProgress {
    case none
    /// No slot is free before the next commit.
    case waitingForSlot(CheckpointRun)
    case writing(CheckpointRun)
    /// The disk is full: it is tried again.
    case waitingForRoom(CheckpointRun)
    /// Of this host; its outcomes are about to be taken.
    case written(HostProcess, CheckpointSlot.Written)
    /// The disk is full: this host's outcomes would not fit into the log. With a state, if there is one.
    case outcomesWaitForRoom(HostProcess, CheckpointSlot.Written?)
}

extension Service {
    private var limits: Limits { supervisor.configuration.limits }

    /// How long a state waits before there is another try to find room for it.
    private static let untilThereIsRoom = Moment.Span.seconds(1)

    /// Outcomes stay in the ring until a state is durable.
    var isHeldUpByCheckpoint: Bool {
        switch checkpoint {
        case .none, .written: false
        case .waitingForSlot, .writing, .waitingForRoom, .outcomesWaitForRoom: true
        }
    }

    // MARK: Outcomes

    /// Whether what the host has published may be taken now: not before the large state in it, if
    /// there is one, is durable.
    func mayTake(from host: HostProcess) -> Bool {
        switch checkpoint {
        case .waitingForSlot, .writing, .waitingForRoom, .outcomesWaitForRoom: return false
        case .written(let its, let written) where its === host:
            return hasRoomForOutcomes(of: host, written)
        case .none, .written: break
        }
        checkpoint = .none
        switch host.largeStateAhead(now: supervisor.now) {
        case nil: return hasRoomForOutcomes(of: host, nil)
        case .missing:
            violation(host, "a large state did not come")
            return false
        case .memory(let memory, let byteCount):
            guard byteCount <= limits.stateBytes else {
                violation(
                    host, "its state has \(byteCount) bytes, the limit is \(limits.stateBytes)")
                return false
            }
            begin(
                CheckpointRun(
                    purpose: .outcomes(host), source: .memory(memory, byteCount: byteCount)))
            return false
        }
    }

    /// The state that the ring's next entry means.
    func takeCheckpoint(of host: HostProcess) -> CheckpointSlot.Written? {
        guard case .written(let its, let written) = checkpoint, its === host else { return nil }
        checkpoint = .none
        host.passLargeState()
        return written
    }

    /// Goes on when everything that this host has published is taken: at once, unless a state is on
    /// its way.
    func whenTaken(_ host: HostProcess, _ goOn: @escaping () -> Void) {
        guard host === current else { return goOn() }
        takeOutcomes(all: true)
        if isHeldUpByCheckpoint, host.machine.isInCharge {
            afterTaking.append(goOn)
        } else {
            goOn()
        }
    }

    /// The same for a host that has just become the current one, and has outcomes of messages that it
    /// was given to try.
    func whenTried(_ host: HostProcess, _ goOn: @escaping () -> Void) {
        takeOutcomes(of: host)
        if isHeldUpByCheckpoint { afterTaking.append(goOn) } else { goOn() }
    }

    /// Whether what it has published counts.
    private func counts(_ host: HostProcess) -> Bool {
        host === current && host.machine.state != .ending
    }

    private func takeOnAfterCheckpoint() {
        if let host = current, counts(host) { takeOutcomes(of: host) }
        guard !isHeldUpByCheckpoint else { return }
        let waiting = afterTaking
        afterTaking = []
        for goOn in waiting { goOn() }
        // What does not wait for a commit does not come by here again.
        supervisor.touch(self)
        supervisor.noteBusy(self)
    }

    // MARK: Writing

    private func begin(_ run: CheckpointRun) {
        guard let order = mailbox.checkpointOrder(run.source) else {
            checkpoint = .waitingForSlot(run)
            supervisor.touch(self)
            supervisor.commits(self)
            return
        }
        checkpoint = .writing(run)
        supervisor.checkpointer.submit(.checkpoint(name, order))
    }

    /// A commit has ended: a slot may be free now, or the state be wanted twice.
    func goOnWithCheckpoint() {
        if case .waitingForSlot(let run) = checkpoint { return begin(run) }
        guard case .none = checkpoint, mailbox.wantsCopy, !copyIsPutOff, !supervisor.isStopping,
            removal == nil, upgrade.state == .idle, let state = mailbox.standing.state
        else { return }
        begin(CheckpointRun(purpose: .copy, source: .bytes(state.bytes)))
    }

    func checkpointEnded(_ result: Result<CheckpointSlot.Written, CheckpointSlot.Failure>) {
        guard case .writing(let run) = checkpoint else { return }
        checkpoint = .none
        switch result {
        case .success(let written): use(written, for: run.purpose)
        case .failure(.noRoom(let error)): hasNoRoom(run, error)
        case .failure(.system(let error)):
            supervisor.fail("\(name): its state cannot be kept: \(error)")
            return
        case .failure(.tooShort):
            if case .outcomes(let host) = run.purpose {
                violation(host, "its state is shorter than it said")
            }
        }
        takeOnAfterCheckpoint()
    }

    private func use(_ written: CheckpointSlot.Written, for purpose: CheckpointRun.Purpose) {
        switch purpose {
        case .outcomes(let host):
            // Of one that was ended meanwhile nothing counts.
            guard counts(host) else { return }
            checkpoint = .written(host, written)
        case .switchRecord(let number):
            guard upgrade.state == .switching, attempt?.checkpoint == number else { return }
            writeSwitch(checkpoint: written.checkpoint)
        case .copy:
            do throws(StoreError) { try mailbox.settle(copy: written) } catch {
                guard case .noRoom = error else { return supervisor.fail("\(name): \(error)") }
                return putOffCopy()
            }
            supervisor.touch(self)
            supervisor.commits(self)
        }
    }

    // MARK: No room

    /// Whether what is to be taken from `host` fits into the log; if not, it waits in the ring, and is
    /// tried again.
    private func hasRoomForOutcomes(of host: HostProcess, _ written: CheckpointSlot.Written?)
        -> Bool
    {
        // Answers can be of any size. All else is one state at most, and fits into a spare.
        if mailbox.standing.ids.count == 0 {
            let most = SharedRing.entryBytes + Self.recordBytes
            guard !mailbox.hasSpare, !mailbox.hasRoom(for: most) else { return true }
        }
        do throws(StoreError) {
            try mailbox.makeRoom(for: outcomesByteCount(of: host))
            return true
        } catch {
            guard case .noRoom(let what) = error else {
                supervisor.fail("\(name): \(error)")
                return false
            }
            checkpoint = .outcomesWaitForRoom(host, written)
            hasNoRoom(for: what)
            _ = supervisor.after(Self.untilThereIsRoom) { [weak self] in self?.tryOutcomesAgain() }
            return false
        }
    }

    /// There may be room now.
    func tryOutcomesAgain() {
        guard case .outcomesWaitForRoom(let host, let written) = checkpoint else { return }
        checkpoint = written.map { .written(host, $0) } ?? .none
        takeOnAfterCheckpoint()
    }

    /// What the records of all that `host` has published take at most: its last state, and the answers
    /// to messages with ids.
    private func outcomesByteCount(of host: HostProcess) -> Int {
        var (answers, state, large) = (0, Self.recordBytes, 0)
        var ahead = host.reader.ahead
        while case .entry(let kind, let sequence, let payload) = ahead.next(host.ring) {
            let answer: Int
            switch kind {
            case .state:
                state = payload.count + Self.recordBytes
                continue
            case .largeState: return answers + state
            case .skip: continue
            case .reply: answer = payload.count
            case .failure: answer = payload.count + Self.errorBytes
            case .passed: answer = Self.errorBytes
            case .largeReply:
                let byteCount = host.largeByteCount(large, now: supervisor.now)
                answer = min(byteCount, limits.messageBytes) + Self.errorBytes
                large += 1
            }
            if mailbox.standing.ids.entry(of: sequence) != nil {
                answers += answer + Self.recordBytes
            }
        }
        return answers + state
    }

    /// What a record takes at most beside its reply or state.
    private static let recordBytes = 64
    /// What an error of batond's own takes at most.
    private static let errorBytes = 512

    private func hasNoRoom(_ run: CheckpointRun, _ error: SystemError) {
        switch run.purpose {
        case .outcomes(let host):
            guard counts(host) else { return }
            log.warning(
                "no room for its state (\(error)): it waits until there is; free some space")
            checkpoint = .waitingForRoom(run)
            _ = supervisor.after(Self.untilThereIsRoom) { [weak self] in
                guard let self, case .waitingForRoom(let run) = self.checkpoint else { return }
                self.begin(run)
            }
        case .switchRecord(let number):
            guard upgrade.state == .switching, attempt?.checkpoint == number else { return }
            perform(upgrade.failed("there is no room for its state: \(error)"))
        case .copy:
            log.warning("no room to copy its state (\(error)): its log is kept instead")
            putOffCopy()
        }
    }

    private func putOffCopy() {
        copyIsPutOff = true
        _ = supervisor.after(.seconds(10)) { [weak self] in self?.copyIsPutOff = false }
    }

    // MARK: A switch

    /// The switch record follows when the state is durable.
    func writeCheckpointOfSwitch(_ state: MailboxMachine.State) {
        checkpointCount &+= 1
        attempt?.checkpoint = checkpointCount
        let run = CheckpointRun(
            purpose: .switchRecord(checkpointCount), source: .bytes(state.bytes))
        // One that is on its way is of a host that is not in charge any more: it is put first.
        if isHeldUpByCheckpoint {
            afterTaking.append { self.beginForSwitch(run) }
        } else {
            begin(run)
        }
    }

    private func beginForSwitch(_ run: CheckpointRun) {
        guard case .switchRecord(let number) = run.purpose, attempt?.checkpoint == number else {
            return
        }
        begin(run)
    }

    // MARK: A damaged slot

    /// The current version comes to its state again: a host of it begins with the earlier state and
    /// handles what was settled since. That is a rollback to itself.
    func recoverState() {
        guard attempt == nil, upgrade.state == .idle, !isFetchingImage else { return }
        rollBack(
            because: "the checkpoint of its state is damaged: it begins with the one after message "
                + "\(mailbox.lost?.settled ?? .none)", .recovery)
    }
}
