// The upgrade's states, reached through real events, and its events, for tables and walks.

import BatonCore

/// A state of the upgrade.
enum UpgradePlace: String, CaseIterable, Codable, Sendable {
    case idle, rehearsing
    case preparing, waitingForCandidate, waitingForImage, preparingDry, preparingToReplay
    case suspending, suspendingToReplay, suspendingToTry
    case loading, replaying, replayingToTry, trying, switching

    /// A machine in this state.
    var machine: UpgradeMachine {
        var machine = UpgradeMachine()
        for event in path { _ = event.happen(to: &machine) }
        return machine
    }

    private static let prepared: [UpgradeEvent] = [.imageIsDurable, .candidateStarted]

    private var path: [UpgradeEvent] {
        switch self {
        case .idle: []
        case .rehearsing: [.beginRehearsal]
        case .preparing: [.begin]
        case .waitingForCandidate: [.begin, .imageIsDurable]
        case .waitingForImage: [.begin, .candidateStarted]
        case .preparingDry: [.beginDry, .imageIsDurable]
        case .preparingToReplay: [.beginReplay, .imageIsDurable]
        case .suspending: [.begin] + Self.prepared
        case .suspendingToReplay: [.beginWarmReplay]
        case .suspendingToTry: [.beginTry]
        case .loading: [.begin] + Self.prepared + [.currentIsQuiet]
        case .replaying: [.beginWarmReplay, .currentIsQuiet]
        case .replayingToTry: [.beginTry, .currentIsQuiet]
        case .trying: [.beginTry, .currentIsQuiet, .candidateIsQuiet]
        case .switching: [.begin] + Self.prepared + [.currentIsQuiet, .candidateStarted]
        }
    }

    var state: UpgradeMachine.State {
        switch self {
        case .idle: .idle
        case .rehearsing: .rehearsing(.init(rehearses: true))
        case .preparing: .preparing(.init(), missing: [.candidate, .image])
        case .waitingForCandidate: .preparing(.init(), missing: .candidate)
        case .waitingForImage: .preparing(.init(), missing: .image)
        case .preparingDry: .preparing(.init(isDryRun: true), missing: .candidate)
        case .preparingToReplay: .preparing(.init(way: .replay), missing: .candidate)
        case .suspending: .suspending(.state)
        case .suspendingToReplay: .suspending(.replay)
        case .suspendingToTry: .suspending(.replayAndTry)
        case .loading: .loading
        case .replaying: .replaying(tries: false)
        case .replayingToTry: .replaying(tries: true)
        case .trying: .trying
        case .switching: .switching
        }
    }

    var phase: Phase? {
        switch self {
        case .idle: nil
        case .rehearsing, .preparing, .waitingForCandidate, .waitingForImage, .preparingDry,
            .preparingToReplay:
            .prepare
        case .suspending, .suspendingToReplay, .suspendingToTry: .suspend
        case .loading, .replaying, .replayingToTry, .trying: .load
        case .switching: .resume
        }
    }
}

/// What can happen to an upgrade.
enum UpgradeEvent: String, CaseIterable, Codable, Sendable {
    case begin, beginRehearsal, beginDry, beginReplay, beginWarmReplay, beginTry
    case rehearsed, candidateStarted, imageIsDurable, currentIsQuiet, candidateIsQuiet
    case candidateFailed, failed, deadlinePassed, switchIsDurable

    /// The plan, if it is the beginning of an upgrade.
    var plan: UpgradeMachine.Plan? {
        switch self {
        case .begin: .init()
        case .beginRehearsal: .init(rehearses: true)
        case .beginDry: .init(isDryRun: true)
        case .beginReplay: .init(way: .replay)
        case .beginWarmReplay: .init(way: .replay, isWarm: true)
        case .beginTry: .init(way: .replayAndTry, isWarm: true)
        case .rehearsed, .candidateStarted, .imageIsDurable, .currentIsQuiet, .candidateIsQuiet,
            .candidateFailed, .failed, .deadlinePassed, .switchIsDurable:
            nil
        }
    }

    func happen(to machine: inout UpgradeMachine) -> UpgradeMachine.Action {
        switch self {
        case .begin, .beginRehearsal, .beginDry, .beginReplay, .beginWarmReplay, .beginTry:
            machine.begin(plan ?? .init())
        case .rehearsed: machine.rehearsed()
        case .candidateStarted: machine.candidateStarted()
        case .imageIsDurable: machine.imageIsDurable()
        case .currentIsQuiet: machine.currentIsQuiet()
        case .candidateIsQuiet: machine.candidateIsQuiet()
        case .candidateFailed: machine.candidateFailed("it died")
        case .failed: machine.failed("no descriptor")
        case .deadlinePassed:
            machine.deadlinePassed(after: .seconds(10), busy: "message 7 has been handled for 9 s")
        case .switchIsDurable: machine.switchIsDurable()
        }
    }

    /// Whether the supervisor's own order of things allows it: else the machine traps.
    func mayHappen(in state: UpgradeMachine.State) -> Bool {
        if plan != nil { return state == .idle }
        return self != .switchIsDurable || state == .switching
    }
}
