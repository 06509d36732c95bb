// Groups: every state times every event, and the order in which members are stopped and started.

import BatonCore
import Testing

@Suite("A group of services")
struct GroupMachineTests {
    private static let a = name("a")
    private static let b = name("b")
    private static let c = name("c")

    private static func name(_ text: String) -> ServiceName {
        guard let name = ServiceName(text) else { preconditionFailure("\(text) is no name") }
        return name
    }

    private func machine(_ strategy: Group.Strategy, restarts: Int = 5) -> GroupMachine {
        GroupMachine(
            Group(
                name: "shop", strategy: strategy, services: [Self.a, Self.b, Self.c],
                restarts: restarts, restartPeriod: .seconds(30)))
    }

    /// What happens to a group, and when.
    private enum Event {
        case died(String, RestartType = .permanent, wasNormal: Bool = false)
        case stopped(String), started(String), removed(String), timePassed
    }

    private func tell(
        _ machine: inout GroupMachine, _ event: Event, at milliseconds: UInt64 = 0
    ) -> GroupMachine.Action {
        switch event {
        case .died(let who, let type, let wasNormal):
            machine.died(
                Self.name(who), at: Moment(nanoseconds: milliseconds * 1_000_000), type: type,
                wasNormal: wasNormal)
        case .stopped(let who): machine.stopped(Self.name(who))
        case .started(let who): machine.started(Self.name(who))
        case .removed(let who): machine.removed(Self.name(who))
        case .timePassed: machine.timePassed()
        }
    }

    private func expect(
        _ strategy: Group.Strategy, restarts: Int = 5,
        _ steps: [(Event, GroupMachine.Action)], endsSteady: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        var machine = machine(strategy, restarts: restarts)
        for (number, step) in steps.enumerated() {
            let action = tell(&machine, step.0, at: UInt64(number))
            #expect(action == step.1, "step \(number)", sourceLocation: sourceLocation)
        }
        #expect((machine.state == .steady) == endsSteady, sourceLocation: sourceLocation)
    }

    // MARK: Order

    @Test("One for all: the others are stopped, the last one first, and all started in order")
    func oneForAll() {
        expect(
            .oneForAll,
            [
                (.died("b"), .stop(Self.c)), (.stopped("c"), .stop(Self.a)),
                (.stopped("a"), .start(Self.a)), (.started("a"), .start(Self.b)),
                (.started("b"), .start(Self.c)), (.started("c"), .nothing),
            ])
    }

    @Test("Rest for one: those behind it alone")
    func restForOne() {
        expect(
            .restForOne,
            [
                (.died("b"), .stop(Self.c)), (.stopped("c"), .start(Self.b)),
                (.started("b"), .start(Self.c)), (.started("c"), .nothing),
                // The second death within the period waits.
                (.died("c"), .wait(.milliseconds(100))), (.timePassed, .start(Self.c)),
                (.started("c"), .nothing),
            ])
    }

    @Test("A member that dies while it is stopped is stopped; one that is down is down")
    func diesOfIt() {
        expect(
            .oneForAll,
            [
                (.died("a"), .stop(Self.c)), (.died("b"), .nothing), (.died("c"), .start(Self.a)),
                (.died("b"), .nothing), (.started("a"), .start(Self.b)),
                (.started("b"), .start(Self.c)), (.started("c"), .nothing),
            ])
    }

    @Test("A member that dies in its start begins the restart anew, with those that were started")
    func diesInStart() {
        expect(
            .oneForAll,
            [
                (.died("a"), .stop(Self.c)), (.stopped("c"), .stop(Self.b)),
                (.stopped("b"), .start(Self.a)), (.started("a"), .start(Self.b)),
                (.died("b"), .stop(Self.a)), (.stopped("a"), .wait(.milliseconds(100))),
                (.timePassed, .start(Self.a)), (.started("a"), .start(Self.b)),
                (.started("b"), .start(Self.c)), (.started("c"), .nothing),
            ])
    }

    @Test("Rest for one: one before it that dies meanwhile draws in those between")
    func widens() {
        expect(
            .restForOne,
            [
                (.died("c"), .start(Self.c)), (.died("a"), .stop(Self.c)),
                (.stopped("c"), .stop(Self.b)), (.stopped("b"), .wait(.milliseconds(100))),
                (.timePassed, .start(Self.a)), (.started("a"), .start(Self.b)),
                (.started("b"), .start(Self.c)), (.started("c"), .nothing),
            ])
    }

    // MARK: Who is not started again

    @Test(
        "A member that is not to be started again concerns nobody else",
        arguments: [
            (RestartType.transient, true), (.temporary, true), (.temporary, false),
        ])
    func leftStopped(type: RestartType, wasNormal: Bool) {
        var machine = machine(.oneForAll)
        let action = tell(&machine, .died("a", type, wasNormal: wasNormal))
        guard case .leaveStopped(Self.a, let reason) = action else {
            Issue.record("\(action)")
            return
        }
        #expect(reason.contains("baton resume"))
        #expect(machine.state == .steady)
    }

    @Test("Its start was waited for: the next one follows")
    func leftStoppedInStart() {
        var machine = machine(.oneForAll)
        for event in [Event.died("a"), .stopped("c"), .stopped("b")] { _ = tell(&machine, event) }
        guard case .leaveStopped(Self.a, _) = tell(&machine, .died("a", .temporary)) else {
            Issue.record("a temporary member was started again")
            return
        }
        #expect(tell(&machine, .started("a")) == .start(Self.b))
    }

    @Test("A member that was removed is waited for no longer, wherever it stands")
    func removed() {
        expect(
            .oneForAll,
            [
                (.died("a"), .stop(Self.c)), (.removed("b"), .nothing),
                (.removed("c"), .start(Self.a)),
                (.removed("a"), .nothing),
            ])
        expect(
            .oneForAll,
            [
                (.died("a"), .stop(Self.c)), (.stopped("c"), .stop(Self.b)),
                (.removed("c"), .nothing),
                (.stopped("b"), .start(Self.a)), (.removed("b"), .nothing),
                (.started("a"), .nothing),
            ])
        expect(
            .restForOne,
            [
                (.died("c"), .start(Self.c)), (.started("c"), .nothing),
                (.died("c"), .wait(.milliseconds(100))), (.removed("c"), .nothing),
                (.timePassed, .nothing),
            ])
    }

    // MARK: Too many

    @Test("More deaths than the group may have: all are stopped, the last one first, and stay so")
    func surrenders() {
        var machine = machine(.restForOne, restarts: 1)
        #expect(tell(&machine, .died("c")) == .start(Self.c))
        #expect(tell(&machine, .started("c"), at: 1) == .nothing)
        #expect(tell(&machine, .died("c"), at: 2) == .stop(Self.b))
        #expect(machine.isSurrendering)
        #expect(tell(&machine, .stopped("b"), at: 3) == .stop(Self.a))
        guard case .surrender(let reason) = tell(&machine, .stopped("a"), at: 4) else {
            Issue.record("the group goes on")
            return
        }
        #expect(reason.contains("2 times in 30 s"))
        #expect(machine.state == .steady && !machine.isSurrendering)
        // The deaths of the period count until they are forgiven.
        #expect(tell(&machine, .died("a"), at: 5) == .stop(Self.c))
        machine = self.machine(.restForOne, restarts: 1)
        _ = tell(&machine, .died("c"))
        _ = tell(&machine, .started("c"))
        machine.forgive()
        #expect(tell(&machine, .died("c"), at: 6) == .start(Self.c))
    }

    // MARK: Every state times every event

    /// The states, by the events that lead to them.
    private static let ways: [[Event]] = [
        [], [.died("b")], [.died("b"), .stopped("c")],
        [.died("b"), .stopped("c"), .stopped("a")],
        [.died("b"), .stopped("c"), .stopped("a"), .started("a")],
        [
            .died("b"), .stopped("c"), .stopped("a"), .started("a"), .started("b"), .started("c"),
            .died("c"), .stopped("b"), .stopped("a"),
        ],
    ]

    @Test(
        "Whatever comes in whatever state: what is asked for fits, and the group comes to rest",
        arguments: Group.Strategy.allCases)
    func everything(strategy: Group.Strategy) {
        var events: [Event] = [.timePassed]
        for who in ["a", "b", "c"] {
            events += [.stopped(who), .started(who), .removed(who)]
            for type in RestartType.allCases {
                events += [.died(who, type), .died(who, type, wasNormal: true)]
            }
        }
        var count = 0
        for way in Self.ways {
            for first in events {
                for second in events {
                    var machine = machine(strategy, restarts: 3)
                    for event in way + [first, second] { check(tell(&machine, event), machine) }
                    settle(&machine)
                    #expect(machine.state == .steady, "\(way), \(first), \(second)")
                    count += 1
                }
            }
        }
        #expect(count == Self.ways.count * events.count * events.count)
    }

    /// An action and the state it leaves belong together.
    private func check(_ action: GroupMachine.Action, _ machine: GroupMachine) {
        switch (action, machine.state) {
        case (.stop(let who), .stopping(let restart)): #expect(restart.toStop.first == who)
        case (.start(let who), .starting(let first, let restart)):
            #expect(first == who && restart.down.contains(who))
        case (.wait, .waiting), (.surrender, .steady), (.leaveStopped, _), (.nothing, _): break
        case (.stop, _), (.start, _), (.wait, _), (.surrender, _):
            Issue.record("\(action) while \(machine.state)")
        }
    }

    /// The supervisor does what is asked for.
    private func settle(_ machine: inout GroupMachine) {
        for _ in 0..<20 {
            switch machine.state {
            case .steady: return
            case .stopping(let restart):
                guard let next = restart.toStop.first else {
                    Issue.record("nobody is being stopped")
                    return
                }
                check(machine.stopped(next), machine)
            case .waiting: check(machine.timePassed(), machine)
            case .starting(let who, _): check(machine.started(who), machine)
            }
        }
    }
}
