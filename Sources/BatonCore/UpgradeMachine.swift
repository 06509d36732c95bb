// The upgrade of one service: which phase it is in, and what follows from each event. A rollback is an
// upgrade too, whose candidate is the version before.
// Pure: the supervisor performs the actions and reports what came of them.
//
// Invariants: at most one upgrade runs; nothing is suspended before the candidate has loaded, has
// taken a copy of the state, and its image is durable; exactly one event, `switchIsDurable`, makes
// the candidate the current version; every path that ends before it ends with the current version
// in charge.

package struct UpgradeMachine: Sendable {
    /// How the candidate comes to the state that the service has.
    package enum Way: Equatable, Sendable {
        /// It takes the last settled state.
        case state
        /// It has the state of an earlier message, and handles those settled since once more, with
        /// their replies discarded.
        case replay
        /// The same; then it is given the message that the current version died of, to find out
        /// which of the two is at fault.
        case replayAndTry
    }

    /// What kind of upgrade it is.
    package struct Plan: Equatable, Sendable {
        package var way: Way
        /// The candidate runs already: the version before, kept warm.
        package var isWarm: Bool
        /// The last messages are handled in the shadow first.
        package var rehearses: Bool
        /// It ends before anything is suspended.
        package var isDryRun: Bool

        package init(
            way: Way = .state, isWarm: Bool = false, rehearses: Bool = false, isDryRun: Bool = false
        ) {
            self.way = way
            self.isWarm = isWarm
            self.rehearses = rehearses
            self.isDryRun = isDryRun
        }
    }

    package enum State: Equatable, Sendable {
        case idle
        /// A candidate of its own handles the last messages in the shadow.
        case rehearsing(Plan)
        case preparing(Plan, missing: Missing)
        case suspending(Way)
        /// The candidate takes the state once more, as it changed since prepare.
        case loading
        /// The candidate handles what was settled since it had the state.
        case replaying(tries: Bool)
        /// The candidate handles the message that the current version died of.
        case trying
        /// The switch record is written and not known to be durable: there is no way back.
        case switching
    }

    /// What prepare still waits for.
    package struct Missing: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let candidate = Missing(rawValue: 1)
        package static let image = Missing(rawValue: 2)
    }

    package enum Action: Equatable, Sendable {
        case nothing
        /// Start a candidate for the rehearsal, and have it handle the last messages.
        case rehearse
        /// Start the candidate and make its image durable.
        case prepare
        /// Let the current host finish the message in hand; from here on the pause is counted.
        case suspend
        /// Give the candidate the state as it is now, unless it has that already.
        case load
        /// Have the candidate handle what was settled since it had the state.
        case replay
        /// Give the candidate the message that the current version died of.
        case tryMessage
        /// Append the switch record and have it made durable.
        case writeSwitch
        /// The candidate is current: it gets the cursor, and the former current is the old one.
        case handOver
        /// End the candidate; if `resume`, the current host goes on. The verdict is `refused`.
        case refuse(Phase, reason: String, resume: Bool)
        /// Both versions died of the message: it is set aside, the current version goes on.
        case blameMessage(reason: String)
        /// End the candidate: all that can be checked beforehand is right.
        case endDryRun
    }

    package private(set) var state = State.idle

    package init() {}

    package var phase: Phase? {
        switch state {
        case .idle: nil
        case .rehearsing, .preparing: .prepare
        case .suspending: .suspend
        case .loading, .replaying, .trying: .load
        case .switching: .resume
        }
    }

    /// An upgrade is asked for, and the image differs from the current one.
    package mutating func begin(_ plan: Plan) -> Action {
        guard case .idle = state else {
            preconditionFailure("an upgrade began while one runs: the supervisor queues them")
        }
        if plan.rehearses {
            state = .rehearsing(plan)
            return .rehearse
        }
        if plan.isWarm {
            state = .suspending(plan.way)
            return .suspend
        }
        return prepare(plan)
    }

    private mutating func prepare(_ plan: Plan) -> Action {
        state = .preparing(plan, missing: [.candidate, .image])
        return .prepare
    }

    /// The rehearsal went as it should; its candidate has gone.
    package mutating func rehearsed() -> Action {
        switch state {
        case .rehearsing(let plan): prepare(plan)
        case .idle, .preparing, .suspending, .loading, .replaying, .trying, .switching: .nothing
        }
    }

    /// The candidate took the state. In prepare it is a copy; in load it is the last one.
    package mutating func candidateStarted() -> Action {
        switch state {
        case .preparing(let plan, let missing):
            return prepared(plan, missing.subtracting(.candidate))
        case .loading:
            state = .switching
            return .writeSwitch
        case .idle, .rehearsing, .suspending, .replaying, .trying, .switching: return .nothing
        }
    }

    package mutating func imageIsDurable() -> Action {
        switch state {
        case .preparing(let plan, let missing): prepared(plan, missing.subtracting(.image))
        // The sync ended after the upgrade was refused.
        case .idle, .rehearsing, .suspending, .loading, .replaying, .trying, .switching: .nothing
        }
    }

    private mutating func prepared(_ plan: Plan, _ missing: Missing) -> Action {
        guard missing.isEmpty else {
            state = .preparing(plan, missing: missing)
            return .nothing
        }
        guard !plan.isDryRun else {
            state = .idle
            return .endDryRun
        }
        state = .suspending(plan.way)
        return .suspend
    }

    /// The current host is suspended, has died, or there is none: its outcomes are all in.
    package mutating func currentIsQuiet() -> Action {
        switch state {
        case .suspending(.state):
            state = .loading
            return .load
        case .suspending(.replay):
            state = .replaying(tries: false)
            return .replay
        case .suspending(.replayAndTry):
            state = .replaying(tries: true)
            return .replay
        // A host that dies in prepare is started again; later it is suspended and not needed.
        case .idle, .rehearsing, .preparing, .loading, .replaying, .trying, .switching:
            return .nothing
        }
    }

    /// The candidate has handled what it was given, and stands still.
    package mutating func candidateIsQuiet() -> Action {
        switch state {
        case .replaying(tries: true):
            state = .trying
            return .tryMessage
        case .replaying(tries: false), .trying:
            state = .switching
            return .writeSwitch
        case .idle, .rehearsing, .preparing, .suspending, .loading, .switching: return .nothing
        }
    }

    /// The candidate refused, died, or broke the protocol.
    package mutating func candidateFailed(_ reason: String) -> Action {
        switch state {
        case .rehearsing: return refuse(.prepare, "rehearsal: \(reason)", resume: false)
        case .preparing: return refuse(.prepare, reason, resume: false)
        case .suspending: return refuse(.suspend, reason, resume: true)
        case .loading, .replaying: return refuse(.load, reason, resume: true)
        case .trying:
            state = .idle
            return .blameMessage(reason: reason)
        // After the switch it is the current version that died: it is started again.
        case .idle, .switching: return .nothing
        }
    }

    /// Something of Baton's own failed (a disk, a descriptor), or the upgrade lost its ground.
    package mutating func failed(_ reason: String) -> Action {
        switch state {
        case .switching: refuse(.resume, reason, resume: true)
        case .trying: refuse(.load, reason, resume: true)
        case .idle, .rehearsing, .preparing, .suspending, .loading, .replaying:
            candidateFailed(reason)
        }
    }

    /// The bound of this phase has passed.
    /// - Parameter busy: what the current host is doing, for the reason.
    package mutating func deadlinePassed(after bound: Moment.Span, busy: String) -> Action {
        switch state {
        case .rehearsing:
            return candidateFailed("it did not end within \(bound): rehearse fewer messages")
        case .preparing:
            return candidateFailed(
                "the candidate was not ready within \(bound): a constructor or 'start' "
                    + "hangs, or prepare_timeout is too short")
        case .suspending:
            return candidateFailed(
                "busy: \(busy), \(bound) after it was asked to stop; try again, or with --force")
        case .loading:
            return candidateFailed(
                "the candidate did not take the state within \(bound): its migration hangs, "
                    + "or migrate_timeout is too short")
        case .replaying:
            return candidateFailed(
                "what was settled since the switch was not handled again within \(bound): "
                    + "replay_timeout is too short, or it hangs")
        // Not its end, so the message is not at fault for certain.
        case .trying:
            return refuse(
                .load,
                "the message that the current version died of was not handled within "
                    + "\(bound)", resume: true)
        // The disk decides; the watchdog bounds it.
        case .idle, .switching: return .nothing
        }
    }

    package mutating func switchIsDurable() -> Action {
        switch state {
        case .switching:
            state = .idle
            return .handOver
        case .idle, .rehearsing, .preparing, .suspending, .loading, .replaying, .trying:
            preconditionFailure("a switch became durable that was never written")
        }
    }

    private mutating func refuse(_ phase: Phase, _ reason: String, resume: Bool) -> Action {
        state = .idle
        return .refuse(phase, reason: reason, resume: resume)
    }
}
