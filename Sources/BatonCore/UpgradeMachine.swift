// The upgrade of one service: which phase it is in, and what follows from each event.
// Pure: the supervisor performs the actions and reports what came of them.
//
// Invariants: at most one upgrade runs; nothing is suspended before the candidate has loaded, has
// taken a copy of the state, and its image is durable; exactly one event, `switchIsDurable`, makes
// the candidate the current version; every path that ends before it ends with the current version
// in charge.

package struct UpgradeMachine: Sendable {
    package enum State: Equatable, Sendable {
        case idle
        case preparing(missing: Missing)
        case suspending
        /// The candidate takes the state once more, as it changed since prepare.
        case loading
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
        /// Start the candidate and make its image durable.
        case prepare
        /// Let the current host finish the message in hand; from here on the pause is counted.
        case suspend
        /// Give the candidate the state as it is now, unless it has that already.
        case load
        /// Append the switch record and have it made durable.
        case writeSwitch
        /// The candidate is current: it gets the cursor, and the former current is the old one.
        case handOver
        /// End the candidate; if `resume`, the current host goes on. The verdict is `refused`.
        case refuse(Phase, reason: String, resume: Bool)
    }

    package private(set) var state = State.idle

    package init() {}

    package var phase: Phase? {
        switch state {
        case .idle: nil
        case .preparing: .prepare
        case .suspending: .suspend
        case .loading: .load
        case .switching: .resume
        }
    }

    /// An upgrade is asked for, and the image differs from the current one.
    package mutating func begin() -> Action {
        guard case .idle = state else {
            preconditionFailure("an upgrade began while one runs: the supervisor queues them")
        }
        state = .preparing(missing: [.candidate, .image])
        return .prepare
    }

    /// The candidate took the state. In prepare it is a copy; in load it is the last one.
    package mutating func candidateStarted() -> Action {
        switch state {
        case .preparing(let missing): return prepared(missing.subtracting(.candidate))
        case .loading:
            state = .switching
            return .writeSwitch
        case .idle, .suspending, .switching: return .nothing
        }
    }

    package mutating func imageIsDurable() -> Action {
        switch state {
        case .preparing(let missing): prepared(missing.subtracting(.image))
        // The sync ended after the upgrade was refused.
        case .idle, .suspending, .loading, .switching: .nothing
        }
    }

    private mutating func prepared(_ missing: Missing) -> Action {
        guard missing.isEmpty else {
            state = .preparing(missing: missing)
            return .nothing
        }
        state = .suspending
        return .suspend
    }

    /// The current host is suspended, has died, or there is none: its outcomes are all in.
    package mutating func currentIsQuiet() -> Action {
        switch state {
        case .suspending:
            state = .loading
            return .load
        // A host that dies in prepare is started again; later it is suspended and not needed.
        case .idle, .preparing, .loading, .switching: return .nothing
        }
    }

    /// The candidate refused, died, or broke the protocol.
    package mutating func candidateFailed(_ reason: String) -> Action {
        switch state {
        case .preparing: return refuse(.prepare, reason, resume: false)
        case .suspending: return refuse(.suspend, reason, resume: true)
        case .loading: return refuse(.load, reason, resume: true)
        // After the switch it is the current version that died: it is started again.
        case .idle, .switching: return .nothing
        }
    }

    /// Something of Baton's own failed (a disk, a descriptor).
    package mutating func failed(_ reason: String) -> Action {
        switch state {
        case .switching: refuse(.resume, reason, resume: true)
        case .idle, .preparing, .suspending, .loading: candidateFailed(reason)
        }
    }

    /// The bound of this phase has passed.
    /// - Parameter busy: what the current host is doing, for the reason.
    package mutating func deadlinePassed(after bound: Moment.Span, busy: String) -> Action {
        switch state {
        case .preparing:
            refuse(
                .prepare,
                "the candidate was not ready within \(bound): a constructor or 'start' "
                    + "hangs, or prepare_timeout is too short", resume: false)
        case .suspending:
            refuse(
                .suspend, "busy: \(busy) after \(bound); try again, or 'baton upgrade --force'",
                resume: true)
        case .loading:
            refuse(
                .load,
                "the candidate did not take the state within \(bound): its migration hangs, "
                    + "or migrate_timeout is too short", resume: true)
        // The disk decides; the watchdog bounds it.
        case .idle, .switching: .nothing
        }
    }

    package mutating func switchIsDurable() -> Action {
        switch state {
        case .switching:
            state = .idle
            return .handOver
        case .idle, .preparing, .suspending, .loading:
            preconditionFailure("a switch became durable that was never written")
        }
    }

    private mutating func refuse(_ phase: Phase, _ reason: String, resume: Bool) -> Action {
        state = .idle
        return .refuse(phase, reason: reason, resume: resume)
    }
}
