// A group whose members are started again together: who is stopped, who is started, in which order.
// Pure: the supervisor stops and starts hosts, and says when they have.
//
// Members are stopped one after the other, the last one first, and started one after the other, the
// first one first, each when the one before it has ended or started.

package struct GroupMachine: Sendable {
    /// What is under way.
    package struct Restart: Equatable, Sendable {
        /// Are to be stopped, in this order; the first one is being stopped.
        package var toStop: [ServiceName] = []
        /// Have no host, and are to be started in the group's order.
        package var down: Set<ServiceName> = []
        /// Before the first start.
        package var wait = Moment.Span.milliseconds(0)
        /// Nobody is started: too many have died.
        package var surrender: String?

        package init() {}
    }

    package enum State: Equatable, Sendable {
        case steady
        case stopping(Restart)
        /// Nobody is left to be stopped; the time before the first start passes.
        case waiting(Restart)
        /// This one is being started.
        case starting(ServiceName, Restart)
    }

    package enum Action: Equatable, Sendable {
        case nothing
        /// It is not to be started again; nobody else is concerned. `started` follows, if its start
        /// was waited for.
        case leaveStopped(ServiceName, reason: String)
        /// Let it finish the message in hand, and end its host; `stopped` follows.
        case stop(ServiceName)
        /// `timePassed` follows.
        case wait(Moment.Span)
        /// `started` follows, or `died`.
        case start(ServiceName)
        /// Nobody runs any more, and nobody is started.
        case surrender(reason: String)
    }

    package let group: Group
    package private(set) var state = State.steady
    private var policy: RestartPolicy

    package init(_ group: Group) {
        self.group = group
        policy = RestartPolicy(restarts: group.restarts, period: group.restartPeriod)
    }

    /// A member's host died, or could not start.
    /// - Parameter wasNormal: by itself, with exit code 0.
    package mutating func died(
        _ service: ServiceName, at now: Moment, type: RestartType, wasNormal: Bool
    ) -> Action {
        var restart = self.restart
        // Whoever is down already, or about to be stopped, has died of it.
        if restart.toStop.contains(service) { return stopped(service) }
        if restart.down.contains(service), !isStarting(service) { return .nothing }
        if let reason = type.barsStart(wasNormal: wasNormal) {
            return .leaveStopped(service, reason: reason)
        }
        restart.down.insert(service)
        switch policy.died(at: now, wasNormal: false) {
        case .restart(let wait): restart.wait = wait
        case .stop(let reason):
            restart.surrender = reason
        }
        let concerned = restart.surrender == nil ? self.concerned(by: service) : group.services[...]
        restart.toStop = concerned.reversed().filter {
            !restart.down.contains($0) || isStarting($0) && $0 != service
        }
        return proceed(restart)
    }

    /// A member has no host any more: it was to be stopped, or it is none of the group's services now.
    package mutating func stopped(_ service: ServiceName) -> Action {
        switch state {
        case .stopping(var restart):
            guard let index = restart.toStop.firstIndex(of: service) else { return .nothing }
            restart.toStop.remove(at: index)
            restart.down.insert(service)
            return index == 0 ? proceed(restart) : update(.stopping(restart))
        case .steady, .waiting, .starting: return .nothing
        }
    }

    /// A member runs again, or is not to run: it was stopped by the operator, or is being upgraded.
    package mutating func started(_ service: ServiceName) -> Action {
        isStarting(service) ? skip(service) : .nothing
    }

    package mutating func timePassed() -> Action {
        switch state {
        case .waiting(var restart):
            restart.wait = .milliseconds(0)
            return proceed(restart)
        case .steady, .stopping, .starting: return .nothing
        }
    }

    /// A member was removed.
    package mutating func removed(_ service: ServiceName) -> Action {
        switch state {
        case .steady: return .nothing
        case .stopping(var restart):
            restart.down.remove(service)
            guard let index = restart.toStop.firstIndex(of: service) else {
                return update(.stopping(restart))
            }
            restart.toStop.remove(at: index)
            return index == 0 ? proceed(restart) : update(.stopping(restart))
        case .waiting(var restart):
            restart.down.remove(service)
            return update(.waiting(restart))
        case .starting(let first, var restart):
            if first == service { return skip(service) }
            restart.down.remove(service)
            return update(.starting(first, restart))
        }
    }

    /// So many of the last deaths were a message's fault.
    package mutating func excuse(_ count: Int) { policy.excuse(count) }

    /// New code, or the operator's word: what was before does not count.
    package mutating func forgive() { policy.forgive() }

    /// Whether it is on the way to where nobody runs any more.
    package var isSurrendering: Bool { restart.surrender != nil }

    // MARK: What follows

    private var restart: Restart {
        switch state {
        case .steady: Restart()
        case .stopping(let restart), .waiting(let restart): restart
        case .starting(_, let restart): restart
        }
    }

    private func isStarting(_ service: ServiceName) -> Bool {
        if case .starting(service, _) = state { true } else { false }
    }

    private func concerned(by service: ServiceName) -> ArraySlice<ServiceName> {
        switch group.strategy {
        case .oneForAll: group.services[...]
        case .restForOne: group.services.drop { $0 != service }
        }
    }

    /// Goes on without `service`, which was being started.
    private mutating func skip(_ service: ServiceName) -> Action {
        var restart = self.restart
        restart.down.remove(service)
        return proceed(restart)
    }

    private mutating func proceed(_ restart: Restart) -> Action {
        if let next = restart.toStop.first {
            if case .stopping(let before) = state, before.toStop.first == next {
                return update(.stopping(restart))
            }
            state = .stopping(restart)
            return .stop(next)
        }
        if let reason = restart.surrender {
            state = .steady
            return .surrender(reason: reason)
        }
        guard let first = group.services.first(where: { restart.down.contains($0) }) else {
            state = .steady
            return .nothing
        }
        if restart.wait > .milliseconds(0) {
            state = .waiting(restart)
            return .wait(restart.wait)
        }
        state = .starting(first, restart)
        return .start(first)
    }

    private mutating func update(_ new: State) -> Action {
        state = new
        return .nothing
    }
}
