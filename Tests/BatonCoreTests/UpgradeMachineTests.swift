// The upgrade of a service: every state times every event.

import BatonCore
import Testing

/// What comes of an event: an action and the state after it.
private enum Outcome: Equatable {
    /// Nothing to do, nothing changes.
    case ignored
    case goes(UpgradeMachine.Action, to: UpgradePlace)
    /// The upgrade ends; the current version is in charge.
    case refused(Phase, resume: Bool)
    /// It cannot happen.
    case traps
}

private let table: [UpgradePlace: [UpgradeEvent: Outcome]] = [
    .idle: [
        .begin: .goes(.prepare, to: .preparing),
        .candidateStarted: .ignored,
        .imageIsDurable: .ignored,
        .currentIsQuiet: .ignored,
        .candidateFailed: .ignored,
        .failed: .ignored,
        .deadlinePassed: .ignored,
        .switchIsDurable: .traps,
    ],
    .preparing: [
        .begin: .traps,
        .candidateStarted: .goes(.nothing, to: .waitingForImage),
        .imageIsDurable: .goes(.nothing, to: .waitingForCandidate),
        .currentIsQuiet: .ignored,
        .candidateFailed: .refused(.prepare, resume: false),
        .failed: .refused(.prepare, resume: false),
        .deadlinePassed: .refused(.prepare, resume: false),
        .switchIsDurable: .traps,
    ],
    .waitingForCandidate: [
        .begin: .traps,
        .candidateStarted: .goes(.suspend, to: .suspending),
        .imageIsDurable: .ignored,
        .currentIsQuiet: .ignored,
        .candidateFailed: .refused(.prepare, resume: false),
        .failed: .refused(.prepare, resume: false),
        .deadlinePassed: .refused(.prepare, resume: false),
        .switchIsDurable: .traps,
    ],
    .waitingForImage: [
        .begin: .traps,
        .candidateStarted: .ignored,
        .imageIsDurable: .goes(.suspend, to: .suspending),
        .currentIsQuiet: .ignored,
        .candidateFailed: .refused(.prepare, resume: false),
        .failed: .refused(.prepare, resume: false),
        .deadlinePassed: .refused(.prepare, resume: false),
        .switchIsDurable: .traps,
    ],
    .suspending: [
        .begin: .traps,
        .candidateStarted: .ignored,
        .imageIsDurable: .ignored,
        .currentIsQuiet: .goes(.load, to: .loading),
        .candidateFailed: .refused(.suspend, resume: true),
        .failed: .refused(.suspend, resume: true),
        .deadlinePassed: .refused(.suspend, resume: true),
        .switchIsDurable: .traps,
    ],
    .loading: [
        .begin: .traps,
        .candidateStarted: .goes(.writeSwitch, to: .switching),
        .imageIsDurable: .ignored,
        .currentIsQuiet: .ignored,
        .candidateFailed: .refused(.load, resume: true),
        .failed: .refused(.load, resume: true),
        .deadlinePassed: .refused(.load, resume: true),
        .switchIsDurable: .traps,
    ],
    .switching: [
        .begin: .traps,
        .candidateStarted: .ignored,
        .imageIsDurable: .ignored,
        .currentIsQuiet: .ignored,
        .candidateFailed: .ignored,
        // The record could not be written: nothing of it is in the log.
        .failed: .refused(.resume, resume: true),
        .deadlinePassed: .ignored,
        .switchIsDurable: .goes(.handOver, to: .idle),
    ],
]

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
    func events(place: UpgradePlace, event: UpgradeEvent) throws {
        let expected = try #require(table[place]?[event])
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

    @Test("What cannot happen traps", arguments: pairs.filter { table[$0.0]?[$0.1] == .traps })
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
                == "busy: message 7 after 10 s; try again, or 'baton upgrade --force'")
        #expect(reason(.preparing, .deadlinePassed)?.contains("prepare_timeout") == true)
        #expect(reason(.loading, .deadlinePassed)?.contains("migrate_timeout") == true)
    }
}
