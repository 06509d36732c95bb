// A model of two processors: every way in which the steps of a sleeper and a publisher can follow
// each other is tried, store buffers included. For the handshake of `SharedRing`.

/// The two sides' words, as the ring has them.
struct Handshake: Sendable {
    /// The sleeper looks again after it raised its flag.
    var looksAgain = true
    /// Stores and flags are sequentially consistent: no load overtakes them.
    var isOrdered = true
    /// The publisher stores before it takes the flag down, not after.
    var storesFirst = true
    /// How often the publisher publishes.
    var values: UInt8 = 3

    struct Findings {
        var states = 0
        var interleavings = 0
        /// Ways to end with the sleeper asleep and something there for it.
        var lostWakeUps = 0
    }

    /// Tries everything.
    func explore() -> Findings {
        var known: [Moment: (ways: Int, lost: Int)] = [:]
        let all = ways(from: Moment(), &known)
        return Findings(states: known.count, interleavings: all.ways, lostWakeUps: all.lost)
    }

    // MARK: The machine

    enum Word: UInt8 { case published, flag }

    /// One processor: where its program stands and what it has stored but nobody sees yet.
    struct Processor: Hashable {
        var step: Step
        var seen: UInt8 = 0
        var buffer: [Store] = []
    }
    struct Store: Hashable {
        var word: Word
        var value: UInt8
    }

    enum Step: UInt8 {
        // The sleeper.
        case look, raise, lookAgain, sleep, takeOwnFlagDown
        // The publisher.
        case store, lookAtFlag, exchangeFlag, ring
        case done
    }

    struct Moment: Hashable {
        var published: UInt8 = 0
        var flag: UInt8 = 0
        /// An eventfd: rings are counted, a sleeper takes them all.
        var bell: UInt8 = 0
        var sleeper = Processor(step: .look)
        var publisher = Processor(step: .store)
    }

    private func ways(
        from moment: Moment, _ known: inout [Moment: (ways: Int, lost: Int)]
    ) -> (ways: Int, lost: Int) {
        if let found = known[moment] { return found }
        var result = (ways: 0, lost: 0)
        let next = successors(of: moment)
        if next.isEmpty {
            result.ways = 1
            // At rest. All is well if the sleeper has seen everything.
            if moment.sleeper.seen != values { result.lost = 1 }
        }
        for each in next {
            let rest = ways(from: each, &known)
            result.ways += rest.ways
            result.lost += rest.lost
        }
        known[moment] = result
        return result
    }

    private func successors(of moment: Moment) -> [Moment] {
        var next: [Moment] = []
        for processor in [\Moment.sleeper, \Moment.publisher] {
            var drained = moment
            if Self.drainOne(&drained, processor) { next.append(drained) }
        }
        var one = moment
        if sleeperSteps(&one) { next.append(one) }
        var other = moment
        if publisherSteps(&other) { next.append(other) }
        return next
    }

    // MARK: Memory

    private static func drainOne(
        _ moment: inout Moment, _ processor: WritableKeyPath<Moment, Processor>
    ) -> Bool {
        guard let store = moment[keyPath: processor].buffer.first else { return false }
        moment[keyPath: processor].buffer.removeFirst()
        write(store, &moment)
        return true
    }

    private static func write(_ store: Store, _ moment: inout Moment) {
        switch store.word {
        case .published: moment.published = store.value
        case .flag: moment.flag = store.value
        }
    }

    /// A processor sees its own stores at once, everybody else's when they are drained.
    private static func load(
        _ word: Word, _ moment: Moment, _ processor: KeyPath<Moment, Processor>
    ) -> UInt8 {
        if let own = moment[keyPath: processor].buffer.last(where: { $0.word == word }) {
            return own.value
        }
        return word == .published ? moment.published : moment.flag
    }

    private func store(
        _ word: Word, _ value: UInt8, _ moment: inout Moment,
        _ processor: WritableKeyPath<Moment, Processor>
    ) {
        moment[keyPath: processor].buffer.append(Store(word: word, value: value))
        if isOrdered { Self.drainAll(&moment, processor) }
    }

    private static func drainAll(
        _ moment: inout Moment, _ processor: WritableKeyPath<Moment, Processor>
    ) {
        while drainOne(&moment, processor) {}
    }

    // MARK: The programs

    /// `false` if it cannot step: it sleeps.
    private func sleeperSteps(_ moment: inout Moment) -> Bool {
        let me = \Moment.sleeper
        switch moment.sleeper.step {
        case .look, .lookAgain:
            let isFirst = moment.sleeper.step == .look
            let value = Self.load(.published, moment, me)
            if value != moment.sleeper.seen {
                moment.sleeper.seen = value
                moment.sleeper.step = isFirst ? .look : .takeOwnFlagDown
            } else {
                moment.sleeper.step = isFirst ? .raise : .sleep
            }
        case .raise:
            store(.flag, 1, &moment, me)
            moment.sleeper.step = looksAgain ? .lookAgain : .sleep
        case .sleep:
            // A system call: what was stored is seen by all before it sleeps.
            Self.drainAll(&moment, me)
            guard moment.bell > 0 else { return false }
            moment.bell = 0
            moment.sleeper.step = .takeOwnFlagDown
        case .takeOwnFlagDown:
            Self.drainAll(&moment, me)
            moment.flag = 0
            moment.sleeper.step = .look
        case .store, .lookAtFlag, .exchangeFlag, .ring, .done: return false
        }
        return true
    }

    private func publisherSteps(_ moment: inout Moment) -> Bool {
        let me = \Moment.publisher
        let isLast = moment.publisher.seen == values
        switch moment.publisher.step {
        case .store:
            moment.publisher.seen += 1
            store(.published, moment.publisher.seen, &moment, me)
            moment.publisher.step = storesFirst ? .lookAtFlag : afterPublishing(moment)
        case .lookAtFlag:
            let isUp = Self.load(.flag, moment, me) != 0
            moment.publisher.step = isUp ? .exchangeFlag : afterFlag(moment)
        case .exchangeFlag:
            Self.drainAll(&moment, me)
            let wasUp = moment.flag != 0
            moment.flag = 0
            moment.publisher.step = wasUp ? .ring : afterFlag(moment)
        case .ring:
            Self.drainAll(&moment, me)
            moment.bell += 1
            moment.publisher.step = afterFlag(moment)
        case .done: return false
        case .look, .raise, .lookAgain, .sleep, .takeOwnFlagDown: return false
        }
        _ = isLast
        return true
    }

    private func afterPublishing(_ moment: Moment) -> Step {
        moment.publisher.seen == values ? .done : .lookAtFlag
    }

    private func afterFlag(_ moment: Moment) -> Step {
        if !storesFirst { return .store }
        return moment.publisher.seen == values ? .done : .store
    }
}
