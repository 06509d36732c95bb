// What goes wrong in a simulation, and how often: decided once from the seed, until calm is declared.
// Runs in the simulator.

import BatonCore

/// What befalls one host, whatever its version.
enum Mishap: Equatable {
    case none
    case killed(after: Moment.Span)
    /// In the middle of its message of this number.
    case killedAtMessage(Int)
    /// After that message, before its outcome is published.
    case killedBeforePublishing(Int)
    case killedWhenAskedToSuspend
    case killedWhenSuspended
    case killedInReplay
    /// After so many commands it hears no more.
    case deaf(after: Int)
}

final class Faults {
    private let dice: Dice
    private(set) var isCalm = false

    /// Of a hundred hosts, so many have a mishap.
    private let mishapsPercent: Int
    private let spawnFailuresPercent: Int
    private let diskIsSlow: Bool
    private var syncsUntilFailure: Int?

    /// When and how batond dies, in each of its lives.
    enum Death: Equatable {
        case at(Moment.Span)
        /// In the middle of a turn.
        case afterCalls(Int)
        /// When an upgrade passes a point, for the n-th time.
        case point(FaultPoint, Int)
    }
    private(set) var death: Death?
    private var deathsLeft: Int
    let hasPowerCuts: Bool

    /// Which host dies when an upgrade passes a point.
    enum Victim: CaseIterable { case current, candidate, old }
    private var ambushes: [(point: FaultPoint, victim: Victim, count: Int)] = []

    init(_ dice: Dice) {
        self.dice = dice
        mishapsPercent = dice.pick([0, 0, 5, 20, 40])
        spawnFailuresPercent = dice.pick([0, 0, 0, 5])
        diskIsSlow = dice.chance(1, in: 8)
        syncsUntilFailure = dice.chance(1, in: 16) ? dice.number(3...120) : nil
        deathsLeft = dice.pick([0, 0, 1, 1, 2, 4])
        hasPowerCuts = dice.chance(1, in: 3)
        for _ in 0..<dice.pick([0, 0, 1, 2]) {
            ambushes.append(
                (dice.pick(FaultPoint.allCases), dice.pick(Victim.allCases), dice.number(1...3)))
        }
    }

    /// From here on nothing goes wrong that is not in a version or a message.
    func calm() {
        isCalm = true
        death = nil
        ambushes = []
    }

    // MARK: Hosts

    func mishap(_ service: String) -> Mishap {
        guard !isCalm, service != Scenario.neighbour, dice.chance(mishapsPercent, in: 100) else {
            return .none
        }
        return switch dice.number(0...6) {
        case 0: .killed(after: dice.microseconds(0...3_000_000))
        case 1: .killedAtMessage(dice.number(1...12))
        case 2: .killedBeforePublishing(dice.number(1...12))
        case 3: .killedWhenAskedToSuspend
        case 4: .killedWhenSuspended
        case 5: .killedInReplay
        default: .deaf(after: dice.number(0...8))
        }
    }

    func spawnFails(_ service: String) -> Bool {
        !isCalm && service != Scenario.neighbour && dice.chance(spawnFailuresPercent, in: 100)
    }

    func victims(at point: FaultPoint) -> [Victim] {
        var victims: [Victim] = []
        for index in ambushes.indices where ambushes[index].point == point {
            ambushes[index].count -= 1
            if ambushes[index].count == 0 { victims.append(ambushes[index].victim) }
        }
        return victims
    }

    // MARK: The disk

    func diskLatency() -> Moment.Span {
        if diskIsSlow, !isCalm, dice.chance(1, in: 10) { return dice.milliseconds(100...1800) }
        return dice.microseconds(30...600)
    }

    /// Longer than this nobody waits who is waited for by nobody else.
    var patience: Moment.Span { diskIsSlow ? .seconds(8) : .milliseconds(250) }

    func syncFails() -> Bool {
        guard !isCalm, let left = syncsUntilFailure else { return false }
        syncsUntilFailure = left > 1 ? left - 1 : nil
        return left == 1
    }

    // MARK: batond

    /// For the life that begins.
    func chooseDeath() {
        guard !isCalm, deathsLeft > 0 else { return death = nil }
        deathsLeft -= 1
        death =
            switch dice.number(0...3) {
            case 0: .at(dice.milliseconds(0...20_000))
            case 1: .afterCalls(dice.number(1...1500))
            default: .point(dice.pick(FaultPoint.allCases), dice.number(1...3))
            }
    }

    func dies(at point: FaultPoint) -> Bool {
        guard case .point(point, let count) = death else { return false }
        death = count > 1 ? .point(point, count - 1) : nil
        return count == 1
    }

    /// Whether the power is cut, and not only batond killed.
    func cutsPower() -> Bool { hasPowerCuts && dice.chance(1, in: 2) }
}
