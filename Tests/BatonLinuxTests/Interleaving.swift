// A model of two processors with store buffers: every way in which the steps of a sleeper and of a
// publisher can follow each other is tried. For the handshake of `SharedRing`.

/// The handshake, and the ways to get it wrong.
struct Handshake: Sendable {
    /// The sleeper looks again after it raised its flag.
    var looksAgain = true
    /// Stores are sequentially consistent: no later load overtakes them.
    var isOrdered = true
    /// The publisher stores first and then looks at the flag, not the other way round.
    var storesFirst = true
    /// How often the publisher publishes.
    var values: UInt8 = 3

    struct Findings {
        var states = 0
        var interleavings = 0
        /// Those that end with the sleeper asleep and something there for it.
        var lostWakeUps = 0
    }

    func explore() -> Findings {
        var known: [Instant: (ways: Int, lost: Int)] = [:]
        let publisher = Processor(step: storesFirst ? .store : .lookAtFlag)
        let all = ways(from: Instant(publisher: publisher), &known)
        return Findings(states: known.count, interleavings: all.ways, lostWakeUps: all.lost)
    }

    // MARK: The machine

    fileprivate enum Word { case published, flag }

    fileprivate struct Store: Hashable {
        var word: Word
        var value: UInt8
    }

    /// Where a processor's program stands, and what it has stored that nobody else sees yet.
    fileprivate struct Processor: Hashable {
        var step: Step
        /// The last value that the sleeper has seen, or the publisher has stored.
        var value: UInt8 = 0
        var buffer: [Store] = []
    }

    fileprivate enum Step {
        // The sleeper
        case look, raise, lookAgain, sleep, takeOwnFlagDown
        // The publisher
        case store, lookAtFlag, exchangeFlag, ring, done
    }

    fileprivate struct Instant: Hashable {
        var published: UInt8 = 0
        var flag: UInt8 = 0
        /// An eventfd: rings are counted, the sleeper takes them all.
        var bell: UInt8 = 0
        var sleeper = Processor(step: .look)
        var publisher: Processor
    }

    private func ways(
        from instant: Instant, _ known: inout [Instant: (ways: Int, lost: Int)]
    ) -> (ways: Int, lost: Int) {
        if let found = known[instant] { return found }
        var result = (ways: 0, lost: 0)
        let next = successors(of: instant)
        // At rest: the sleeper sleeps and nobody will ring. It must have seen everything.
        if next.isEmpty { result = (1, instant.sleeper.value == values ? 0 : 1) }
        for each in next {
            let rest = ways(from: each, &known)
            result.ways += rest.ways
            result.lost += rest.lost
        }
        known[instant] = result
        return result
    }

    private func successors(of instant: Instant) -> [Instant] {
        var next: [Instant] = []
        func attempt(_ step: (inout Instant) -> Bool) {
            var after = instant
            if step(&after) { next.append(after) }
        }
        attempt { $0.drainOne(\.sleeper) }
        attempt { $0.drainOne(\.publisher) }
        attempt(sleeperSteps)
        attempt(publisherSteps)
        return next
    }

    private func store(
        _ word: Word, _ value: UInt8, _ instant: inout Instant,
        _ processor: WritableKeyPath<Instant, Processor>
    ) {
        instant[keyPath: processor].buffer.append(Store(word: word, value: value))
        if isOrdered { instant.drain(processor) }
    }

    // MARK: The programs

    /// - Returns: `false` if it cannot step: it sleeps.
    private func sleeperSteps(_ instant: inout Instant) -> Bool {
        switch instant.sleeper.step {
        case .look, .lookAgain:
            let value = instant.load(.published, \.sleeper)
            let isFirst = instant.sleeper.step == .look
            if value != instant.sleeper.value {
                instant.sleeper.value = value
                instant.sleeper.step = isFirst ? .look : .takeOwnFlagDown
            } else {
                instant.sleeper.step = isFirst ? .raise : .sleep
            }
        case .raise:
            store(.flag, 1, &instant, \.sleeper)
            instant.sleeper.step = looksAgain ? .lookAgain : .sleep
        case .sleep:
            instant.drain(\.sleeper)  // a system call: what was stored is seen by then
            guard instant.bell > 0 else { return false }
            instant.bell = 0
            instant.sleeper.step = .takeOwnFlagDown
        case .takeOwnFlagDown:
            instant.drain(\.sleeper)  // an exchange: so it is here too
            instant.flag = 0
            instant.sleeper.step = .look
        case .store, .lookAtFlag, .exchangeFlag, .ring, .done: return false
        }
        return true
    }

    private func publisherSteps(_ instant: inout Instant) -> Bool {
        switch instant.publisher.step {
        case .store:
            instant.publisher.value += 1
            store(.published, instant.publisher.value, &instant, \.publisher)
            instant.publisher.step = storesFirst ? .lookAtFlag : nextRound(instant)
        case .lookAtFlag:
            let isUp = instant.load(.flag, \.publisher) != 0
            instant.publisher.step = isUp ? .exchangeFlag : afterFlag(instant)
        case .exchangeFlag:
            instant.drain(\.publisher)
            instant.publisher.step = instant.flag != 0 ? .ring : afterFlag(instant)
            instant.flag = 0
        case .ring:
            instant.drain(\.publisher)
            instant.bell += 1
            instant.publisher.step = afterFlag(instant)
        case .done, .look, .raise, .lookAgain, .sleep, .takeOwnFlagDown: return false
        }
        return true
    }

    private func afterFlag(_ instant: Instant) -> Step {
        storesFirst ? nextRound(instant) : .store
    }
    private func nextRound(_ instant: Instant) -> Step {
        guard instant.publisher.value < values else { return .done }
        return storesFirst ? .store : .lookAtFlag
    }
}

extension Handshake.Instant {
    /// A processor sees its own stores at once, the other's when they are drained.
    fileprivate func load(_ word: Handshake.Word, _ processor: KeyPath<Self, Handshake.Processor>)
        -> UInt8
    {
        let own = self[keyPath: processor].buffer.last { $0.word == word }
        return own?.value ?? (word == .published ? published : flag)
    }

    /// The oldest store of a processor becomes visible.
    fileprivate mutating func drainOne(
        _ processor: WritableKeyPath<Self, Handshake.Processor>
    ) -> Bool {
        guard let store = self[keyPath: processor].buffer.first else { return false }
        self[keyPath: processor].buffer.removeFirst()
        switch store.word {
        case .published: published = store.value
        case .flag: flag = store.value
        }
        return true
    }

    fileprivate mutating func drain(_ processor: WritableKeyPath<Self, Handshake.Processor>) {
        while drainOne(processor) {}
    }
}
