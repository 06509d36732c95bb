// A service: its mailbox, its hosts, who waits for its replies. This file is the way of messages;
// ServiceReplies.swift tells each sender, ServiceHosts.swift starts and mourns hosts,
// ServiceUpgrade.swift performs upgrades, ServiceRollback.swift the way back, ServiceCheckpoint.swift
// makes large states durable.
// Runs in batond.
//
// Invariants: `waiting` covers exactly the messages after the cursor; at most one host is in charge,
// and only its outcomes are taken; outcomes are settled in the turn in which they are taken.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire
import CLinux
import Glibc
import Logging

package final class Service {
    /// Whether there is a version to handle messages.
    enum Condition: Equatable {
        /// Nothing has run yet: the first image is on its way.
        case starting
        case serving
        /// Its host died and is started again at its time.
        case restarting
        /// Nothing runs, until the operator does something; the mailbox accepts.
        case stopped(reason: String)
    }

    package let name: ServiceName
    let nameBytes: [UInt8]
    /// What the operator has set for it; a reload may change it.
    var settings: ServiceSettings
    var durability: Durability { settings.durability }
    unowned let supervisor: Supervisor
    var log: Logger { supervisor.log(for: self) }

    var mailbox: Mailbox
    var waiting = WaitingQueue()
    /// Who else waits for the answer to a message, as it was sent again by its id.
    var repeats: [UInt64: [RepeatedCall]] = [:]
    /// To messages with ids, while outcomes are taken: settled with them.
    var answers: [(sequence: SequenceNumber, answer: IDWindow.Answer)] = []
    var condition = Condition.starting
    /// Suspended by the operator.
    var isHeld = false

    // The versions.
    var current: HostProcess?
    var candidate: HostProcess?
    var old: HostProcess?
    var currentImage: Image?
    /// Changes with the state: tells whether a candidate has the last one.
    var stateRevision: UInt64 = 1
    var restartPolicy: RestartPolicy
    var restarts = 0
    /// Where its last outcomes can be found again.
    var history = OutcomeHistory()
    /// For a host that hangs.
    var watch: ProgressWatch?

    // The upgrade.
    var upgrade = UpgradeMachine()
    var attempt: UpgradeAttempt?
    var queue: [UpgradeRequest] = []
    var lastVerdict: Verdict?
    /// The plugin directory has another image than the release.
    var diskDiffers = false
    var switchRecord = SwitchRecord.none
    /// Its group has it stopped, and waits for this host's end.
    var standingDown: HostProcess?
    /// It is on its way out.
    var removal: Removal?
    /// No version has run since batond started, or since the service came back.
    var wasNotRunning = true

    // The way back.
    var versionBefore: VersionBefore?
    var replay: Replay?
    /// The message that the current version died of, while it is found out who is at fault.
    var suspect: SequenceNumber?
    /// The version before could not take over: it is not tried again by itself.
    var rollbackHasFailed = false
    /// The image of a version to go back to is being read.
    var isFetchingImage = false
    var probation: Timers.Handle?
    var probationEnds: Moment?
    /// Want to know whether their release is confirmed or rolled back.
    var confirmationWaiters: [(Verdict, (Verdict) -> Void)] = []

    /// Who waits for a suspension by hand.
    var suspendWaiters: [(String?) -> Void] = []

    enum SwitchRecord { case none, written, syncing }

    /// The disk is full: outcomes could not be kept, and the host was ended for it.
    var waitsForRoom = false
    /// A large state on its way into its slot.
    var checkpoint = CheckpointProgress.none
    var checkpointCount: UInt64 = 0
    /// What comes when all that the current host has published is taken.
    var afterTaking: [() -> Void] = []
    /// There was no room to copy the state: it is not tried again for a while.
    var copyIsPutOff = false
    /// New messages are refused.
    var lackOfRoom: LackOfRoom?
    /// The operator was told that there is no spare segment.
    var isSpareMissing = false
    /// How long it waits for such a client to read.
    var patience = Patience()
    /// A client as in `isHeldUpByClient`.
    weak var overfull: Connection?
    /// The clients that got replies while outcomes were taken.
    var repliedTo: [Connection] = []

    // What the turn has to do.
    var isTouched = false
    var wantsCommit = false
    var commitsSoon = false
    /// A timer is to have what was synced last proven.
    var marksSoon = false
    var isBusy = false
    /// Clients held up until there is room in the mailbox, or it is known whether the service leaves.
    var heldUp: [Connection] = []
    /// The segment that was written when there was no room.
    var fullSegment: UInt32?
    /// How fast it is, and since when there has been a message to handle.
    var pace = Pace()
    var busySince: Moment?
    var connectionCount = 0

    init(_ name: ServiceName, mailbox: consuming Mailbox, supervisor: Supervisor) {
        self.name = name
        nameBytes = Array(name.text.utf8)
        self.supervisor = supervisor
        settings = supervisor.configuration.settings(of: name)
        restartPolicy = RestartPolicy(
            restarts: settings.restarts, period: settings.restartPeriod, type: settings.restart)
        self.mailbox = mailbox
        self.mailbox.inlineStateBytes = supervisor.configuration.limits.inlineStateBytes
        waiting.append(nil, slot: 0, count: self.mailbox.unsettledCount)
    }

    /// Whether replies wait for a commit.
    var isGated: Bool { durability == .commit }

    // MARK: Messages in

    enum Absorbed: Equatable {
        /// Everything but an unfinished rest.
        case all
        /// No more now: the client has enough in flight, or the mailbox is full.
        case enough
        case tooBig
        /// The disk is full.
        case readOnly(String)
    }

    /// Appends the lines of `input`; `consumed` is how much of it they were.
    func absorb(
        lines input: UnsafeRawBufferPointer, from connection: Connection, consumed: inout Int
    ) -> Absorbed {
        // Whether it leaves is not certain yet: its clients wait to hear.
        guard removal == nil else {
            holdUp(connection)
            return .enough
        }
        if let refusal { return .readOnly("\(refusal)") }
        if isAheadOfDisk {
            holdUp(connection)
            return .enough
        }
        let window = window
        let room = window - min(window, connection.pendingCount)
        let before = mailbox.appended
        let result = unsafe Self.append(
            lines: input, &connection.lines, to: &mailbox, atMost: room, consumed: &consumed)
        let count = mailbox.appended.distance(from: before)
        if count > 0 {
            waiting.append(connection, slot: connection.takeSlots(count), count: count)
            supervisor.touch(self)
        }
        switch result {
        case .success(let absorbed):
            if count > 0 { hasRoom() }
            return absorbed
        case .failure(let error):
            return refusal(error, holdingUp: connection)
        }
    }

    /// The inner loop: one exclusive access to mailbox and parser for all lines.
    private static func append(
        lines input: UnsafeRawBufferPointer, _ parser: inout LineParser,
        to mailbox: inout Mailbox, atMost room: UInt64, consumed: inout Int
    ) -> Result<Absorbed, StoreError> {
        var left = room
        while true {
            guard left > 0 else { return .success(.enough) }
            switch unsafe parser.next(input, from: consumed) {
            case .line(let range):
                do throws(StoreError) {
                    _ = try unsafe mailbox.append(UnsafeRawBufferPointer(rebasing: input[range]))
                } catch { return .failure(error) }
                consumed = range.upperBound + 1
                left -= 1
            case .needMore: return .success(.all)
            case .tooBig: return .success(.tooBig)
            }
        }
    }

    /// Appends one message of a RESP client.
    /// - Parameter slot: of the caller; `nil` if the receipt is all that is wanted.
    func append(_ message: UnsafeRawBufferPointer, for connection: Connection, slot: UInt64?)
        throws(StoreError) -> SequenceNumber
    {
        try expectDisk()
        let sequence = try unsafe mailbox.append(message)
        hasRoom()
        waiting.append(slot == nil ? nil : connection, slot: slot ?? 0)
        supervisor.touch(self)
        return sequence
    }

    /// A full mailbox: what is settled goes with the next sync, though no reply may wait for one.
    func makeRoom() {
        if mailbox.couldLetGo { supervisor.commits(self) }
    }

    private func refusal(_ error: StoreError, holdingUp connection: Connection) -> Absorbed {
        switch error {
        case .full:
            holdUp(connection)
            fullSegment = mailbox.readable.segment
            makeRoom()
            return .enough
        case .noRoom(let what):
            hasNoRoom(for: what)
            return .readOnly("\(error)")
        case .system, .slowDisk, .corrupt, .newerFormat, .tooLarge, .deadLettersFull,
            .idsFull:
            supervisor.fail("\(name): \(error)")
            return .enough
        }
    }

    // MARK: Outcomes

    /// Outcomes are to be expected: of messages, or of a replay.
    var isAtWork: Bool {
        candidate?.machine.isReplaying == true
            || !waiting.isEmpty && current?.machine.isInCharge == true
    }

    /// Takes what the host in charge has published: replies to their connections, the cursor and
    /// the state to the mailbox.
    /// - Parameter all: also while a client holds up the others; for a host that ends or stops.
    func takeOutcomes(all: Bool = false) {
        guard let host = current, host.machine.isInCharge, all || !isHeldUpByClient else { return }
        takeOutcomes(of: host)
    }

    /// - Parameter host: in charge, or it has just become the current one, and what it was given to try
    ///   counts now.
    func takeOutcomes(of host: HostProcess) {
        host.reader.begin(host.ring)
        guard mayTake(from: host) else { return }
        var cursor = mailbox.standing.settled
        var state: NewState?
        repliedTo.removeAll(keepingCapacity: true)
        answers.removeAll(keepingCapacity: true)
        history.note(
            position: host.reader.position, settled: cursor, state: mailbox.standing.state)
        taking: while true {
            takeReplies(from: host, &cursor)
            switch host.reader.next(host.ring) {
            case .empty: break taking
            case .violation(let reason):
                return undo(host, reason, upTo: cursor)
            case .entry(let kind, let sequence, let payload):
                if let reason = unsafe take(kind, sequence, payload, host, &cursor, &state) {
                    return undo(host, reason, upTo: cursor)
                }
                if let state, kind == .state || kind == .largeState {
                    history.note(
                        position: host.reader.position, settled: cursor,
                        state: MailboxMachine.State(
                            bytes: state.bytes, version: currentVersion ?? "",
                            format: host.stateVersion),
                        spacing: OutcomeHistory.spacing)
                }
                // What a slot holds is settled by itself: the next one needs another slot.
                if kind == .largeState { break taking }
            }
        }
        host.outcomesTaken()
        note(pace: cursor.distance(from: mailbox.standing.settled))
        precondition(
            waiting.count == mailbox.appended.distance(from: cursor),
            "\(name): \(waiting.count) wait for the outcomes after \(cursor)")
        guard cursor > mailbox.standing.settled || state != nil else { return }
        do throws(StoreError) {
            try keepAnswers()
            switch state {
            case .slotted(let written):
                try mailbox.settle(upTo: cursor, written: written, format: host.stateVersion)
            case .inline(let bytes):
                try mailbox.settle(upTo: cursor, state: bytes, format: host.stateVersion)
            case nil: try mailbox.settle(upTo: cursor, state: nil, format: host.stateVersion)
            }
        } catch {
            // Replies of these outcomes stand in the queues; they may not leave without the record.
            guard case .noRoom(let what) = error else {
                return supervisor.fail("\(name): the outcomes cannot be kept: \(error)")
            }
            hasNoRoom(for: what)
            waitsForRoom = true
            return undo(host, "its outcomes cannot be kept: \(error)", upTo: cursor)
        }
        if state != nil { stateRevision &+= 1 }
        if isGated { supervisor.commits(self) }
        supervisor.touch(self)
        releaseHeldUp()
    }

    /// What a host says that breaks the rules does not count, and neither does what it said just
    /// before: the state that belongs to it may be missing. Its replies have not left; their
    /// clients are closed, and the messages go to the next host.
    private func undo(_ host: HostProcess, _ reason: String, upTo cursor: SequenceNumber) {
        waiting.putBack(cursor.distance(from: mailbox.standing.settled))
        for connection in repliedTo { supervisor.close(connection) }
        repliedTo = []
        if waitsForRoom { host.kill(reason) } else { violation(host, reason) }
    }

    /// Replies taken before their place is noted for a rehearsal.
    private static let repliesInARow: UInt64 = 1024

    /// Plain replies, as many as stand in a row for one client: almost all there are. Those to messages
    /// with ids are remembered, and so taken one by one.
    private func takeReplies(from host: HostProcess, _ cursor: inout SequenceNumber) {
        while let run = waiting.first, let connection = run.connection {
            var most = min(run.count, Self.repliesInARow)
            if let next = mailbox.standing.ids.next(after: cursor.value) {
                most = min(most, next - cursor.value - 1)
            }
            guard most > 0 else { return }
            let count = connection.takeReplies(
                from: host, after: cursor.value, slot: run.slot, atMost: most, gated: isGated)
            guard count > 0 else { return }
            waiting.advance(by: count)
            cursor = cursor.advanced(by: count)
            if !host.mayHaveState {
                history.note(
                    position: host.reader.position, settled: cursor, state: nil,
                    spacing: OutcomeHistory.spacing)
            }
            note(replyTo: connection)
        }
    }

    /// - Returns: what is wrong with it, if anything: a host is not trusted.
    @inline(__always)
    private func take(
        _ kind: OutcomeKind, _ sequence: UInt64, _ payload: UnsafeRawBufferPointer,
        _ host: HostProcess, _ cursor: inout SequenceNumber, _ state: inout NewState?
    ) -> String? {
        let limits = supervisor.configuration.limits
        switch kind {
        case .reply, .largeReply, .failure, .passed:
            guard sequence == cursor.value &+ 1, sequence <= mailbox.appended.value else {
                return "an outcome for message \(sequence) where \(cursor.next) is due"
            }
            switch kind {
            case .reply: unsafe deliver(payload, to: sequence)
            case .failure: unsafe deliverFailure(payload, to: sequence)
            case .passed:
                guard mailbox.standing.dead.contains(sequence) else {
                    return "it passed over message \(sequence), which is no dead letter"
                }
                deliverPoison(to: sequence)
            case .largeReply:
                switch host.takeLarge(limit: limits.messageBytes, now: supervisor.now) {
                case .bytes(let bytes):
                    unsafe bytes.withUnsafeBytes { unsafe deliver($0, to: sequence) }
                case .tooLarge(let byteCount):
                    deliverError(
                        to: sequence, "TOOBIG",
                        "the reply to this message has \(byteCount) bytes, at most "
                            + "\(limits.messageBytes) may be sent: the service must reply less")
                case .missing: return "a large reply did not come"
                }
            case .skip, .state, .largeState: break
            }
            // Only now, when its sender has been served.
            cursor = cursor.next
            return nil
        case .state, .largeState:
            guard sequence == cursor.value else {
                return "a state after message \(sequence) where \(cursor) was the last"
            }
            if kind == .state {
                state = unsafe .inline(Array(payload))
                return nil
            }
            guard let written = takeCheckpoint(of: host) else {
                return "a large state that it has not told of"
            }
            state = .slotted(written)
            return nil
        case .skip: return "a skip where an outcome is due"
        }
    }

    // MARK: The end of a turn

    /// Writes the batch and lets the host have it.
    func finishTurn() {
        isTouched = false
        do throws(StoreError) { try mailbox.flush() } catch {
            supervisor.fail("\(name): \(error)")
            return
        }
        for job in mailbox.takeJobs() { supervisor.keepHouse(job) }
        // Where no reply waits for a sync, one is made when it lets go of a segment.
        if !isGated, mailbox.couldLetGo { supervisor.commits(self) }
        if durability == .interval { supervisor.commitsSoon(self) }
        publish()
        if busySince == nil, !waiting.isEmpty { busySince = supervisor.now }
        supervisor.noteBusy(self)
    }

    /// Lets go of who is waited for and who waits: they hold the service in turn.
    func abandon() {
        (waiting, heldUp, repliedTo, repeats) = (WaitingQueue(), [], [], [:])
        (attempt, queue, suspendWaiters, confirmationWaiters) = (nil, [], [], [])
        (afterTaking, checkpoint) = ([], .none)
        (current, candidate, old, standingDown) = (nil, nil, nil, nil)
        removal?.abandon()
    }
}
