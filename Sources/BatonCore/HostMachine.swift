// One host process as the supervisor sees it: what it may say in each state, and what that means.
// Pure. A host runs an author's code and is not trusted: what it says out of turn ends it.

package struct HostMachine: Sendable {
    package enum State: Equatable, Sendable {
        /// Spawned: sandbox, dlopen, the table is checked.
        case loading
        /// Has loaded; `start` with a state is under way.
        case starting
        /// Has a state and waits: a candidate, or suspended; in charge of nothing.
        case ready
        /// Handles messages.
        case running
        /// Asked to stop after the message in hand.
        case suspending(generation: UInt32)
        /// Handles settled messages once more; what comes of them is not settled again.
        case replaying(generation: UInt32)
        /// Asked to end; whatever it says is ignored.
        case ending
    }

    /// What a host says on its channel.
    package enum Said: Equatable, Sendable {
        case loaded
        case started
        case suspended(generation: UInt32)
        case refused(reason: String)
        case log
    }

    package enum Meaning: Equatable, Sendable {
        case nothing
        /// The image is loaded: send it a state.
        case hasLoaded
        /// It took the state.
        case hasStarted
        /// Its outcomes are all in the ring, and it waits.
        case isSuspended
        case refuses(reason: String)
        case log
        /// It said what it may not: end it.
        case violation(String)
    }

    package private(set) var state = State.loading

    package init() {}

    package mutating func said(_ said: Said) -> Meaning {
        switch (state, said) {
        case (.ending, _): return .nothing
        case (_, .log): return .log
        case (.loading, .loaded):
            state = .starting
            return .hasLoaded
        case (.starting, .started):
            state = .ready
            return .hasStarted
        case (.loading, .refused(let reason)), (.starting, .refused(let reason)):
            return .refuses(reason: reason)
        case (.suspending(let asked), .suspended(let generation)),
            (.replaying(let asked), .suspended(let generation)):
            // An answer to an earlier request that was taken back meanwhile says nothing.
            guard asked == generation else { return .nothing }
            state = .ready
            return .isSuspended
        case (.running, .suspended): return .nothing
        case (.loading, _), (.starting, _), (.ready, _), (.running, _), (.suspending, _),
            (.replaying, _):
            return .violation("said \(said) while \(state)")
        }
    }

    /// It is given the cursor.
    package mutating func run() {
        switch state {
        case .ready, .suspending: state = .running
        case .running, .loading, .starting, .replaying, .ending:
            preconditionFailure("a host was told to run while \(state)")
        }
    }

    package mutating func suspend(generation: UInt32) {
        guard case .running = state else {
            preconditionFailure("a host was told to suspend while \(state)")
        }
        state = .suspending(generation: generation)
    }

    /// A host that is in charge of nothing handles settled messages.
    package mutating func replay(generation: UInt32) {
        guard case .ready = state else {
            preconditionFailure("a host was told to replay while \(state)")
        }
        state = .replaying(generation: generation)
    }

    /// A ready host is given another state.
    package mutating func startAgain() {
        guard case .ready = state else {
            preconditionFailure("a host was told to start again while \(state)")
        }
        state = .starting
    }

    package mutating func end() { state = .ending }

    /// Outcomes are accepted only from a host that has been given the cursor.
    package var isInCharge: Bool {
        switch state {
        case .running, .suspending: true
        case .loading, .starting, .ready, .replaying, .ending: false
        }
    }

    package var isReplaying: Bool {
        switch state {
        case .replaying: true
        case .loading, .starting, .ready, .running, .suspending, .ending: false
        }
    }
}
