// What a mailbox knows besides its messages: the cursor, the state, which release handles messages
// and what there is to go back to, failed attempts and dead letters. Pure; used in batond.
//
// It is what the log's records say, applied in order. Every record is one event and one mutating
// method here, which the mailbox calls when it writes the record and recovery when it reads it: so
// both know the same. An event that does not fit what is known changes nothing and returns `false`.
//
// Invariants: what a provisional release can fall back to keeps the cursor at its switch, and the
// messages after `needed` stay in the log for it; `dead` holds only messages after `needed`; there is
// an earlier state only while the state lies in a slot.

package struct MailboxMachine: Equatable, Sendable {
    /// Which image handles messages.
    package struct Release: Equatable, Sendable {
        package var digest: ImageDigest
        package var version: String
        package init(digest: ImageDigest, version: String) {
            self.digest = digest
            self.version = version
        }
    }

    /// The service's state and whose code made it.
    package struct State: Equatable, Sendable {
        package var bytes: [UInt8]
        package var version: String
        /// The number its maker has declared for this form of state; 0 if none.
        package var format: UInt32
        /// Where it lies on disk; `nil`: in the log itself.
        package var checkpoint: Checkpoint?
        package init(
            bytes: [UInt8], version: String, format: UInt32 = 0, checkpoint: Checkpoint? = nil
        ) {
            self.bytes = bytes
            self.version = version
            self.format = format
            self.checkpoint = checkpoint
        }

        /// Without its bytes, if they lie in a slot.
        fileprivate var named: State {
            checkpoint == nil
                ? self : State(bytes: [], version: version, format: format, checkpoint: checkpoint)
        }
    }

    /// A state from before the present one, from which the messages since lead there again: for when
    /// the present one's slot is damaged.
    package struct Earlier: Equatable, Sendable {
        /// Without its bytes, if they lie in a slot; `nil`: there was none.
        package var state: State?
        /// It was the state when all up to here was settled.
        package var settled: SequenceNumber
        package init(state: State?, settled: SequenceNumber) {
            self.state = state
            self.settled = settled
        }
    }

    /// What a provisional release can be rolled back to.
    package struct Fallback: Equatable, Sendable {
        /// The confirmed one.
        package var release: Release
        /// As it was at the switch away from it, when all up to `settled` was settled.
        package var state: State?
        package var settled: SequenceNumber
        package init(release: Release, state: State?, settled: SequenceNumber) {
            self.release = release
            self.state = state
            self.settled = settled
        }
    }

    /// How the release that handles messages has its place.
    package enum Tenure: Equatable, Sendable {
        case none
        case confirmed(Release)
        case provisional(Release, Fallback)
    }

    /// Why there was a switch.
    package enum Cause: UInt8, Equatable, Sendable, CaseIterable {
        case upgrade = 0
        /// Rolled back by itself.
        case rollback = 1
        case byHand = 2
        /// Booted again before it was confirmed.
        case boot = 3
        /// The same version, which has come to its state again from an earlier one.
        case recovery = 4

        /// Whether it leads back to a version that was there before.
        package var isWayBack: Bool {
            switch self {
            case .upgrade: false
            case .rollback, .byHand, .boot, .recovery: true
            }
        }
    }

    /// A switch there was.
    package struct Past: Equatable, Sendable {
        package var release: Release
        /// Milliseconds since 1970; 0 if it is not known.
        package var at: UInt64
        package var cause: Cause
        package init(release: Release, at: UInt64, cause: Cause) {
            self.release = release
            self.at = at
            self.cause = cause
        }
    }

    /// A message that was set aside.
    package struct DeadLetter: Equatable, Sendable {
        package var sequence: UInt64
        package var attempts: UInt32
        /// Of the release that it killed last.
        package var version: String
        /// Milliseconds since 1970.
        package var at: UInt64
        package var bytes: [UInt8]
        package init(
            sequence: UInt64, attempts: UInt32, version: String, at: UInt64, bytes: [UInt8]
        ) {
            self.sequence = sequence
            self.attempts = attempts
            self.version = version
            self.at = at
            self.bytes = bytes
        }
    }

    /// The event that makes an upgrade, or a rollback, true.
    package struct Switch: Equatable, Sendable {
        package var release: Release
        package var cause: Cause
        /// Milliseconds since 1970.
        package var at: UInt64
        /// Of the machine, 16 bytes; empty if it is not known.
        package var bootID: [UInt8]
        /// What the state is from here on; `nil`: it stays. Set by a rollback.
        package var state: State?
        /// From here on there is no state: a rollback to where there was none.
        package var dropsState: Bool
        package init(
            release: Release, cause: Cause, at: UInt64, bootID: [UInt8], state: State? = nil,
            dropsState: Bool = false
        ) {
            self.release = release
            self.cause = cause
            self.at = at
            self.bootID = bootID
            self.state = state
            self.dropsState = dropsState && state == nil
        }
    }

    /// Switches that are remembered.
    package static let historyCount = 8

    /// Everything up to here is settled.
    package var settled = SequenceNumber.none
    package var state: State?
    /// What there is beside the state, as long as that lies in a slot; `nil`: nothing.
    package var earlier: Earlier?
    package var tenure = Tenure.none
    /// The last message before the last switch.
    package var switchedAfter = SequenceNumber.none
    /// Switches to a new release by an upgrade, the first not counted.
    package var upgrades: UInt64 = 0
    /// Failed attempts at messages that are not settled.
    package var attempts: [UInt64: UInt32] = [:]
    /// The last switches, the newest last.
    package var history: [Past] = []
    /// Of the machine at the last switch; empty if it is not known.
    package var bootID: [UInt8] = []
    /// Messages set aside that a host may still come by: it passes over them.
    package var dead: Set<UInt64> = []
    /// The letters that are kept until they are delivered again or discarded, the oldest first.
    package var deadLetters: [DeadLetter] = []
    /// All there ever were.
    package var deadLetterCount: UInt64 = 0
    /// What is remembered of messages that bear their clients' ids.
    package var ids = IDWindow()

    package init() {}
}

extension MailboxMachine {
    package var release: Release? {
        switch tenure {
        case .none: nil
        case .confirmed(let release), .provisional(let release, _): release
        }
    }

    package var fallback: Fallback? {
        switch tenure {
        case .none, .confirmed: nil
        case .provisional(_, let fallback): fallback
        }
    }

    /// Messages after this one may still be handled, at first or once more: the log keeps them.
    package var needed: SequenceNumber {
        min(neededForWayBack, earlier?.settled ?? settled)
    }

    /// The same, if the state's slot were sure to stay as it is.
    package var neededForWayBack: SequenceNumber {
        switch tenure {
        case .none, .confirmed: settled
        case .provisional(_, let fallback): min(settled, fallback.settled)
        }
    }

    /// Messages up to this one are handled one at a time: one of them has killed a host, and the
    /// blame for another death must not fall on its neighbour. 0 if none has.
    package var carefulThrough: UInt64 { attempts.keys.max() ?? 0 }

    /// Whether a host may still come by this message, and is not told to pass over it yet.
    package func canBury(_ sequence: UInt64) -> Bool {
        sequence > needed.value && !dead.contains(sequence)
    }

    /// Whether another dead letter of so many bytes may be kept. One alone may have any size.
    package func hasRoom(forLetterOf byteCount: Int) -> Bool {
        guard deadLetters.count < FixedLimits.deadLetters else { return false }
        let kept = deadLetters.reduce(0) { $0 + $1.bytes.count }
        return kept == 0 || kept + byteCount <= FixedLimits.deadLetterBytes
    }

    // MARK: Events

    /// Everything up to `sequence` is handled; `bytes` is the state now, if it has changed.
    package mutating func settle(
        upTo sequence: SequenceNumber, state bytes: [UInt8]?, format: UInt32
    ) -> Bool {
        guard sequence >= settled else { return false }
        if let bytes {
            state = State(bytes: bytes, version: version, format: format)
            earlier = nil
        }
        pass(sequence)
        return true
    }

    /// The same, where the state lies in a slot.
    /// - Parameter isCopy: the state is the one there was, in another slot.
    package mutating func settle(upTo sequence: SequenceNumber, slotted new: State, isCopy: Bool)
        -> Bool
    {
        guard sequence >= settled, new.checkpoint != nil, !isCopy || sequence == settled else {
            return false
        }
        // Where no message was handled, none leads from the one to the other.
        earlier =
            isCopy || sequence > settled ? Earlier(state: state?.named, settled: settled) : nil
        state = new
        pass(sequence)
        return true
    }

    private mutating func pass(_ sequence: SequenceNumber) {
        settled = sequence
        if !attempts.isEmpty { attempts = attempts.filter { $0.key > sequence.value } }
        forgetPassed()
    }

    /// From the cursor on another release handles messages. It is provisional, unless there is
    /// nothing to fall back to, or it is what one would fall back to. Nobody goes back from a
    /// confirmed release without a reason: it is nothing to fall back to.
    package mutating func apply(_ new: Switch) {
        switch tenure {
        case .none: tenure = .confirmed(new.release)
        case .confirmed(let old):
            tenure =
                old.digest == new.release.digest || new.cause.isWayBack
                ? .confirmed(new.release)
                : .provisional(
                    new.release, Fallback(release: old, state: state, settled: settled))
            countUpgrade(new.cause)
        case .provisional(_, let fallback):
            tenure =
                fallback.release.digest == new.release.digest
                ? .confirmed(new.release) : .provisional(new.release, fallback)
            countUpgrade(new.cause)
        }
        if new.state != nil || new.dropsState {
            state = new.state
            earlier = nil
        }
        switchedAfter = settled
        bootID = new.bootID
        history.append(Past(release: new.release, at: new.at, cause: new.cause))
        if history.count > Self.historyCount { history.removeFirst() }
        forgetPassed()
    }

    /// There is no way back any more. `false` if there was none.
    package mutating func confirm() -> Bool {
        guard case .provisional(let release, _) = tenure else { return false }
        tenure = .confirmed(release)
        forgetPassed()
        return true
    }

    /// A host died over this message, now for the `count`th time.
    package mutating func recordAttempt(at sequence: UInt64, count: UInt32) {
        attempts[sequence] = count
    }

    /// Hosts pass over a message from here on. `false` if they do already, or none comes by it.
    /// - Parameter letter: what is kept of it; `nil` in a log that kept nothing.
    package mutating func bury(_ sequence: UInt64, _ letter: DeadLetter?) -> Bool {
        guard canBury(sequence) else { return false }
        dead.insert(sequence)
        deadLetterCount += 1
        if let letter { deadLetters.append(letter) }
        return true
    }

    /// A dead letter was delivered again or discarded. `false` if there is none of this number.
    package mutating func forget(_ sequence: UInt64) -> Bool {
        guard let index = deadLetters.firstIndex(where: { $0.sequence == sequence }) else {
            return false
        }
        deadLetters.remove(at: index)
        return true
    }

    // MARK: What follows

    private var version: String { release?.version ?? "" }

    private mutating func countUpgrade(_ cause: Cause) {
        if !cause.isWayBack { upgrades += 1 }
    }

    /// No host comes by a message again that is settled and not needed for a rollback.
    private mutating func forgetPassed() {
        guard !dead.isEmpty else { return }
        let needed = needed.value
        dead = dead.filter { $0 > needed }
    }
}
