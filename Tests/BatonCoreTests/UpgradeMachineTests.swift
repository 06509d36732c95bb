// The upgrade of a service: every state times every event.

import BatonCore
import Testing

/// What comes of an event: an action and the state after it.
private enum Outcome: Equatable {
    /// Nothing to do, nothing changes.
    case ignored
    case goes(UpgradeMachine.Action, to: UpgradePlace)
    case begins(UpgradeMachine.Action, UpgradeMachine.State)
    /// The upgrade ends; the current version is in charge.
    case refused(Phase, resume: Bool)
    /// It cannot happen.
    case traps
}

/// What is not named in a row is ignored; `begin…` outside of `idle`, and a durable switch that was
/// never written, trap.
private let table: [UpgradePlace: [UpgradeEvent: Outcome]] = [
    .idle: [
        .begin: .goes(.prepare, to: .preparing),
        .beginRehearsal: .goes(.rehearse, to: .rehearsing),
        .beginDry: .begins(.prepare, .preparing(.init(isDryRun: true), missing: both)),
        .beginReplay: .begins(.prepare, .preparing(.init(way: .replay), missing: both)),
        .beginWarmReplay: .goes(.suspend, to: .suspendingToReplay),
        .beginTry: .goes(.suspend, to: .suspendingToTry),
    ],
    .rehearsing: refusals(.prepare, resume: false) {
        // What follows is the same upgrade without a rehearsal to come.
        $0[.rehearsed] = .begins(
            .prepare, .preparing(.init(rehearses: true), missing: both))
    },
    .preparing: refusals(.prepare, resume: false) {
        $0[.candidateStarted] = .goes(.nothing, to: .waitingForImage)
        $0[.imageIsDurable] = .goes(.nothing, to: .waitingForCandidate)
    },
    .waitingForCandidate: refusals(.prepare, resume: false) {
        $0[.candidateStarted] = .goes(.suspend, to: .suspending)
    },
    .waitingForImage: refusals(.prepare, resume: false) {
        $0[.imageIsDurable] = .goes(.suspend, to: .suspending)
    },
    .preparingDry: refusals(.prepare, resume: false) {
        $0[.candidateStarted] = .goes(.endDryRun, to: .idle)
    },
    .preparingToReplay: refusals(.prepare, resume: false) {
        $0[.candidateStarted] = .goes(.suspend, to: .suspendingToReplay)
    },
    .suspending: refusals(.suspend, resume: true) {
        $0[.currentIsQuiet] = .goes(.load, to: .loading)
    },
    .suspendingToReplay: refusals(.suspend, resume: true) {
        $0[.currentIsQuiet] = .goes(.replay, to: .replaying)
    },
    .suspendingToTry: refusals(.suspend, resume: true) {
        $0[.currentIsQuiet] = .goes(.replay, to: .replayingToTry)
    },
    .loading: refusals(.load, resume: true) {
        $0[.candidateStarted] = .goes(.writeSwitch, to: .switching)
    },
    .replaying: refusals(.load, resume: true) {
        $0[.candidateIsQuiet] = .goes(.writeSwitch, to: .switching)
    },
    .replayingToTry: refusals(.load, resume: true) {
        $0[.candidateIsQuiet] = .goes(.tryMessage, to: .trying)
    },
    .trying: refusals(.load, resume: true) {
        $0[.candidateIsQuiet] = .goes(.writeSwitch, to: .switching)
        // The version before died of it too.
        $0[.candidateFailed] = .goes(.blameMessage(reason: "it died"), to: .idle)
    },
    .switching: [
        // The record could not be written: nothing of it is in the log.
        .failed: .refused(.resume, resume: true),
        .switchIsDurable: .goes(.handOver, to: .idle),
    ],
]

private let both: UpgradeMachine.Missing = [.candidate, .image]

/// A row in which every failure ends the upgrade, and what else there is in it.
private func refusals(
    _ phase: Phase, resume: Bool, _ others: (inout [UpgradeEvent: Outcome]) -> Void
) -> [UpgradeEvent: Outcome] {
    var row: [UpgradeEvent: Outcome] = [:]
    for event in [UpgradeEvent.candidateFailed, .failed, .deadlinePassed] {
        row[event] = .refused(phase, resume: resume)
    }
    others(&row)
    return row
}

private func expectation(_ place: UpgradePlace, _ event: UpgradeEvent) -> Outcome {
    if let outcome = table[place]?[event] { return outcome }
    return event.plan != nil || event == .switchIsDurable ? .traps : .ignored
}

private let pairs = UpgradePlace.allCases.flatMap { place in
    UpgradeEvent.allCases.map { (place, $0) }
}

@Suite("The upgrade machine")
struct UpgradeMachineTests {
    @Test("Each state is what its events lead to", arguments: UpgradePlace.allCases)
    func places(place: UpgradePlace) {
        #expect(place.machine.state == place.state)
        #expect(place.machine.phase == place.phase)
    }

    @Test("Every state times every event", arguments: pairs)
    func events(place: UpgradePlace, event: UpgradeEvent) {
        let expected = expectation(place, event)
        guard event.mayHappen(in: place.state) else {
            #expect(expected == .traps)
            return
        }
        var machine = place.machine
        let action = event.happen(to: &machine)
        switch expected {
        case .ignored:
            #expect(action == .nothing)
            #expect(machine.state == place.state)
        case .goes(let expectedAction, let next):
            #expect(action == expectedAction)
            #expect(machine.state == next.state)
        case .begins(let expectedAction, let next):
            #expect(action == expectedAction)
            #expect(machine.state == next)
        case .refused(let phase, let resume):
            guard case .refuse(phase, let reason, resume) = action else {
                Issue.record("\(action)")
                return
            }
            #expect(!reason.isEmpty)
            #expect(machine.state == .idle)
        case .traps: Issue.record("it should have trapped")
        }
    }

    @Test("What cannot happen traps", arguments: pairs.filter { expectation($0.0, $0.1) == .traps })
    func traps(place: UpgradePlace, event: UpgradeEvent) async {
        await #expect(processExitsWith: .failure) {
            [place = place as UpgradePlace, event = event as UpgradeEvent] in
            var machine = place.machine
            _ = event.happen(to: &machine)
        }
    }

    @Test("A refusal says what was wrong, and what to do")
    func reasons() {
        func reason(_ place: UpgradePlace, _ event: UpgradeEvent) -> String? {
            var machine = place.machine
            guard case .refuse(_, let reason, _) = event.happen(to: &machine) else { return nil }
            return reason
        }
        #expect(reason(.loading, .candidateFailed) == "it died")
        #expect(reason(.switching, .failed) == "no descriptor")
        #expect(
            reason(.suspending, .deadlinePassed)
                == "busy: message 7 has been handled for 9 s, 10 s after it was asked to stop; "
                + "try again, or with --force")
        #expect(reason(.preparing, .deadlinePassed)?.contains("prepare_timeout") == true)
        #expect(reason(.loading, .deadlinePassed)?.contains("migrate_timeout") == true)
        #expect(reason(.replaying, .deadlinePassed)?.contains("replay_timeout") == true)
        #expect(reason(.rehearsing, .candidateFailed) == "rehearsal: it died")
    }
}
