// What a simulation is about: which services there are, with which versions, and who asks them for
// what. Decided once from the seed. Runs in the simulator.

import BatonCore
import BatonSupervisor

struct Scenario {
    /// Nothing is done to this service: it must go on answering, whatever becomes of the others.
    static let neighbour = "quiet"

    struct Busy {
        var name: String
        var versions: [ModelVersion]
        var durability: Durability
        var restart = RestartType.permanent
    }

    var busy: [Busy] = []
    var clientCount: Int
    /// Messages of each client.
    var messages: ClosedRange<Int>
    /// Bytes of padding: long messages make the log roll.
    var padding: ClosedRange<Int>
    var hasPoison: Bool
    var operatorCount: Int
    var requests: ClosedRange<Int>
    var mailboxBytes: Int
    /// Replies do not say which version they are of: they can be compared in a rehearsal.
    let isTerse: Bool
    var probation: Moment.Span
    var handleTimeout: Moment.Span
    var probationBytes: Int
    var group: Group.Strategy?
    /// Beyond these a state lies in a slot.
    let inlineStateBytes: Int

    init(_ dice: Dice) {
        clientCount = dice.number(1...3)
        messages = dice.pick([5...20, 20...60, 60...120])
        padding = dice.pick([0...0, 0...0, 0...100, 0...12_000])
        hasPoison = dice.chance(1, in: 4)
        operatorCount = dice.number(1...2)
        requests = dice.pick([1...2, 2...5, 4...9])
        mailboxBytes = dice.chance(1, in: 10) ? 300 << 10 : 64 << 20
        isTerse = dice.chance(1, in: 4)
        probation = dice.pick([.milliseconds(0), .seconds(1), .seconds(10), .seconds(10)])
        handleTimeout = dice.pick([.seconds(5), .seconds(60)])
        probationBytes = dice.chance(1, in: 4) ? 200 << 10 : 64 << 20
        inlineStateBytes = dice.pick([0, 64, 200, 32 << 10, 32 << 10])
        group = dice.chance(1, in: 6) ? dice.pick(Group.Strategy.allCases) : nil
        for name in ["alpha", "beta"].prefix(dice.number(1...2)) {
            let durability = dice.pick([Durability.commit, .commit, .commit, .interval, .none])
            busy.append(
                Busy(
                    name: name, versions: Self.versions(dice), durability: durability,
                    restart: dice.pick([.permanent, .permanent, .transient, .temporary])))
        }
        for index in busy.indices where isTerse {
            busy[index].versions = busy[index].versions.map { version in
                var terse = version
                terse.isTerse = true
                return terse
            }
        }
    }

    /// Whether a service's versions reply the same to the same.
    func saysOne(_ service: String?) -> Bool {
        isTerse
            && busy.allSatisfy { busy in
                busy.name != service
                    || busy.versions.allSatisfy { $0.flaw != .repliesOtherwise }
            }
    }

    /// The first is what the service begins with, and without a flaw; so is the last.
    private static func versions(_ dice: Dice) -> [ModelVersion] {
        let ballast = dice.chance(1, in: 10) ? 40 << 10 : 0
        let count = dice.number(2...5)
        let hasFlaws = dice.chance(2, in: 3)
        var versions: [ModelVersion] = []
        var format: UInt32 = 1
        for index in 1...count {
            if index > 1, dice.chance(1, in: 2) { format += 1 }
            let isSound = index == 1 || index == count || !hasFlaws
            // The last takes whatever any of them has written.
            let lowest = index == count ? 1 : UInt32(dice.number(1...Int(format)))
            let highest = index == count || dice.chance(1, in: 3) ? 9 : format
            versions.append(
                ModelVersion(
                    "v\(index)", format: format, takes: min(lowest, format)...highest,
                    declares: dice.chance(2, in: 3),
                    flaw: isSound ? .none : dice.pick(ModelVersion.Flaw.allCases),
                    ballast: ballast))
        }
        return versions
    }

    func message(_ id: MessageID, _ versions: [ModelVersion], _ dice: Dice) -> ModelMessage {
        var trait = ModelMessage.Trait.plain
        switch dice.number(0...99) {
        case 0..<6: trait = .slow(milliseconds: dice.number(1...200))
        case 6..<8: trait = .slow(milliseconds: dice.pick([1000, 4000, 7000, 10_000]))
        case 8..<12: trait = .failing
        case 12..<14: trait = .largeReply
        case 14 where hasPoison: trait = .poison
        case 15 where hasPoison: trait = .poisonFor(version: dice.pick(versions).name)
        default: break
        }
        return ModelMessage(id: id, trait: trait, padding: dice.number(padding))
    }
}
