// The upgrade's states, reached through real events, and its events, for tables and walks.

import BatonCore

/// A state of the upgrade.
enum UpgradePlace: String, CaseIterable, Codable, Sendable {
    case idle
    case preparing, waitingForCandidate, waitingForImage
    case suspending, loading, switching

    /// A machine in this state.
    var machine: UpgradeMachine {
        var machine = UpgradeMachine()
        for event in path { _ = event.happen(to: &machine) }
        return machine
    }

    private var path: [UpgradeEvent] {
        switch self {
        case .idle: []
        case .preparing: [.begin]
        case .waitingForCandidate: [.begin, .imageIsDurable]
        case .waitingForImage: [.begin, .candidateStarted]
        case .suspending: [.begin, .imageIsDurable, .candidateStarted]
        case .loading: [.begin, .imageIsDurable, .candidateStarted, .currentIsQuiet]
        case .switching:
            [.begin, .imageIsDurable, .candidateStarted, .currentIsQuiet, .candidateStarted]
        }
    }

    var state: UpgradeMachine.State {
        switch self {
        case .idle: .idle
        case .preparing: .preparing(missing: [.candidate, .image])
        case .waitingForCandidate: .preparing(missing: .candidate)
        case .waitingForImage: .preparing(missing: .image)
        case .suspending: .suspending
        case .loading: .loading
        case .switching: .switching
        }
    }

    var phase: Phase? {
        switch self {
        case .idle: nil
        case .preparing, .waitingForCandidate, .waitingForImage: .prepare
        case .suspending: .suspend
        case .loading: .load
        case .switching: .resume
        }
    }
}

/// What can happen to an upgrade.
enum UpgradeEvent: String, CaseIterable, Codable, Sendable {
    case begin, candidateStarted, imageIsDurable, currentIsQuiet
    case candidateFailed, failed, deadlinePassed, switchIsDurable

    func happen(to machine: inout UpgradeMachine) -> UpgradeMachine.Action {
        switch self {
        case .begin: machine.begin()
        case .candidateStarted: machine.candidateStarted()
        case .imageIsDurable: machine.imageIsDurable()
        case .currentIsQuiet: machine.currentIsQuiet()
        case .candidateFailed: machine.candidateFailed("it died")
        case .failed: machine.failed("no descriptor")
        case .deadlinePassed: machine.deadlinePassed(after: .seconds(10), busy: "message 7")
        case .switchIsDurable: machine.switchIsDurable()
        }
    }

    /// Whether the supervisor's own order of things allows it: else the machine traps.
    func mayHappen(in state: UpgradeMachine.State) -> Bool {
        switch self {
        case .begin: state == .idle
        case .switchIsDurable: state == .switching
        case .candidateStarted, .imageIsDurable, .currentIsQuiet, .candidateFailed, .failed,
            .deadlinePassed:
            true
        }
    }
}
