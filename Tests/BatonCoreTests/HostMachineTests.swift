// One host as the supervisor sees it: every state times everything it may say or be told.

import BatonCore
import Testing

private enum HostPlace: String, CaseIterable, Codable, Sendable {
    case loading, starting, ready, running
    /// Asked twice: the second request is the one that counts.
    case suspending
    /// Suspended, so ready again.
    case suspended
    case startingAgain
    /// Handles settled messages once more.
    case replaying
    case ending

    var machine: HostMachine {
        var machine = HostMachine()
        for event in path { _ = event.happen(to: &machine) }
        return machine
    }

    private var path: [HostEvent] {
        switch self {
        case .loading: []
        case .starting: [.loaded]
        case .ready: [.loaded, .started]
        case .running: [.loaded, .started, .run]
        case .suspending: [.loaded, .started, .run, .suspendOnce, .run, .suspend]
        case .suspended: [.loaded, .started, .run, .suspend, .suspended]
        case .startingAgain: [.loaded, .started, .run, .suspend, .suspended, .startAgain]
        case .replaying: [.loaded, .started, .replay]
        case .ending: [.loaded, .end]
        }
    }

    var state: HostMachine.State {
        switch self {
        case .loading: .loading
        case .starting, .startingAgain: .starting
        case .ready, .suspended: .ready
        case .running: .running
        case .suspending: .suspending(generation: 2)
        case .replaying: .replaying(generation: 2)
        case .ending: .ending
        }
    }
}

private enum HostEvent: String, CaseIterable, Codable, Sendable {
    // Said by the host.
    case loaded, started, suspended, suspendedOnce, refused, log
    // Told to the host.
    case run, suspend, suspendOnce, startAgain, replay, end

    /// What the host's words mean; `nil` for what it is told.
    func happen(to machine: inout HostMachine) -> HostMachine.Meaning? {
        switch self {
        case .loaded: return machine.said(.loaded)
        case .started: return machine.said(.started)
        case .suspended: return machine.said(.suspended(generation: 2))
        case .suspendedOnce: return machine.said(.suspended(generation: 1))
        case .refused: return machine.said(.refused(reason: "too old"))
        case .log: return machine.said(.log)
        case .run: machine.run()
        case .suspend: machine.suspend(generation: 2)
        case .suspendOnce: machine.suspend(generation: 1)
        case .startAgain: machine.startAgain()
        case .replay: machine.replay(generation: 2)
        case .end: machine.end()
        }
        return nil
    }
}

private enum Outcome: Equatable {
    case means(HostMachine.Meaning, HostMachine.State)
    case becomes(HostMachine.State)
    /// The meaning is a violation: the host is ended.
    case violates
    case traps
}

/// By state; what is not listed is a violation if said, and a trap if told.
private let table: [HostPlace: [HostEvent: Outcome]] = [
    .loading: [
        .loaded: .means(.hasLoaded, .starting),
        .refused: .means(.refuses(reason: "too old"), .loading),
    ],
    .starting: [
        .started: .means(.hasStarted, .ready),
        .refused: .means(.refuses(reason: "too old"), .starting),
    ],
    .startingAgain: [
        .started: .means(.hasStarted, .ready),
        .refused: .means(.refuses(reason: "too old"), .starting),
    ],
    .ready: [
        .run: .becomes(.running), .startAgain: .becomes(.starting),
        .replay: .becomes(.replaying(generation: 2)),
    ],
    .suspended: [
        .run: .becomes(.running), .startAgain: .becomes(.starting),
        .replay: .becomes(.replaying(generation: 2)),
    ],
    .replaying: [
        .suspended: .means(.isSuspended, .ready),
        .suspendedOnce: .means(.nothing, .replaying(generation: 2)),
    ],
    .running: [
        // The answer to a request that was taken back.
        .suspended: .means(.nothing, .running),
        .suspendedOnce: .means(.nothing, .running),
        .suspend: .becomes(.suspending(generation: 2)),
        .suspendOnce: .becomes(.suspending(generation: 1)),
    ],
    .suspending: [
        .suspended: .means(.isSuspended, .ready),
        .suspendedOnce: .means(.nothing, .suspending(generation: 2)),
        .run: .becomes(.running),
    ],
    .ending: [
        .loaded: .means(.nothing, .ending),
        .started: .means(.nothing, .ending),
        .suspended: .means(.nothing, .ending),
        .suspendedOnce: .means(.nothing, .ending),
        .refused: .means(.nothing, .ending),
        .log: .means(.nothing, .ending),
    ],
]

private func expected(_ place: HostPlace, _ event: HostEvent) -> Outcome {
    if let listed = table[place]?[event] { return listed }
    switch event {
    case .log: return .means(.log, place.state)
    case .end: return .becomes(.ending)
    case .loaded, .started, .suspended, .suspendedOnce, .refused: return .violates
    case .run, .suspend, .suspendOnce, .startAgain, .replay: return .traps
    }
}

private let pairs = HostPlace.allCases.flatMap { place in HostEvent.allCases.map { (place, $0) } }

@Suite("The host machine")
struct HostMachineTests {
    @Test("Every state times everything said and told")
    func events() {
        for (place, event) in pairs {
            let expected = expected(place, event)
            if expected == .traps { continue }
            var machine = place.machine
            #expect(machine.state == place.state)
            let meaning = event.happen(to: &machine)
            switch expected {
            case .means(let expectedMeaning, let state):
                #expect(meaning == expectedMeaning, "\(event) while \(place)")
                #expect(machine.state == state, "\(event) while \(place)")
            case .becomes(let state):
                #expect(machine.state == state, "\(event) while \(place)")
            case .violates:
                guard case .violation(let text) = meaning else {
                    Issue.record("\(event) while \(place) means \(String(describing: meaning))")
                    continue
                }
                #expect(text.contains("while"))
                #expect(machine.state == place.state)
            case .traps: break
            }
        }
    }

    @Test(
        "What the supervisor may not tell it traps",
        arguments: pairs.filter { expected($0.0, $0.1) == .traps })
    private func traps(place: HostPlace, event: HostEvent) async {
        await #expect(processExitsWith: .failure) {
            [place = place as HostPlace, event = event as HostEvent] in
            var machine = place.machine
            _ = event.happen(to: &machine)
        }
    }

    @Test("Outcomes are accepted from a host that runs or finishes its message, from no other")
    func inCharge() {
        let inCharge = HostPlace.allCases.filter { $0.machine.isInCharge }
        #expect(inCharge == [.running, .suspending])
        #expect(HostPlace.allCases.filter { $0.machine.isReplaying } == [.replaying])
    }
}
