// One small mailbox from its beginning, through each kind of thing that is ever done to it: what every
// fault is tried on, at every place. Its segments are so small that all of them are tried.

import BatonCore
import BatonLinux
import BatonStore

final class Story {
    enum Step {
        case append(Int)
        /// A message that its client has named, and what it was answered.
        case appendWithID(Int), answer(Int)
        /// Up to this many before the last message.
        case settle(Int = 0, state: String? = nil, format: UInt32 = 0)
        /// All is settled, with a state of so many bytes in a slot.
        case checkpoint(Int)
        /// A host has died over the next message.
        case attempt, bury(Int), forget
        case switchTo(
            String, MailboxMachine.Cause = .upgrade, state: String? = nil, drops: Bool = false)
        case confirm
        case flush, beginSync, runSync, endSync, keepHouse
        /// The next messages, until there is another segment.
        case roll(Int)
        /// What was synced is proven: when nothing follows, and at a life's end.
        case mark
        /// The life ends in the middle of writing a batch.
        case tear
    }

    private static let sync: [Step] = [.flush, .beginSync, .endSync, .keepHouse]

    /// A step is added by adding it here.
    static let lives: [[Step]] = [
        // The first messages, a poisoned one, the spare, the second segment, the first one gone.
        [.switchTo("1"), .append(3), .append(13), .flush, .settle(1, state: "one"), .beginSync]
            + [.append(40), .flush, .endSync, .keepHouse, .attempt, .flush, .attempt, .bury(40)]
            + sync + [.mark, .append(700), .append(900), .flush, .keepHouse, .append(300)]
            + [.roll(500), .settle(4, state: "of two segments", format: 3)] + sync
            + [.append(5), .flush, .beginSync, .runSync, .settle(), .flush, .endSync, .keepHouse]
            + sync,
        // A provisional release that keeps a segment, and a slot, made anew in its place; it is confirmed
        // while more is settled, and the segment becomes the spare, and the next one.
        [.append(8), .checkpoint(40)] + sync + [.switchTo("2"), .append(2), .checkpoint(48)] + sync
            + [.append(2), .checkpoint(600)] + sync + [.settle(state: "two")] + sync
            + [.append(1), .flush, .beginSync, .roll(800), .endSync, .settle(state: "kept")] + sync
            + sync
            + [.append(60), .confirm, .flush, .beginSync, .settle(state: "later"), .flush]
            + [.appendWithID(7), .flush, .endSync, .keepHouse] + sync
            + [.roll(900), .settle(1)] + sync + [.append(33), .tear],
        // Back and forth, and an end in order.
        [.forget, .switchTo("3"), .appendWithID(21), .settle(state: "three"), .answer(4)] + sync
            + [.switchTo("2", .rollback, state: "back at two"), .append(12)] + sync
            + [.switchTo("4", drops: true), .append(1), .attempt, .settle(1, state: "four")] + sync
            + [.mark] + sync,
        // The last life ends with a state in a slot and one before it, and with something written that
        // nobody was told of.
        [.append(17), .settle(state: "five", format: 1)] + sync + [.append(4), .checkpoint(30)]
            + sync + [.append(5), .checkpoint(20)] + sync
            + [.append(9), .settle(1), .flush, .append(0), .flush],
    ]

    /// How it has ended.
    enum End {
        case finished
        /// A mailbox could not be opened.
        case refused(StoreError)
        /// A life had to end, since the disk had failed.
        case ended(StoreError)
    }

    let directory: TemporaryDirectory
    let disk: TracedDisk
    private(set) var chronicle = Chronicle()
    /// How often there was no room for something, which was then done after all.
    private(set) var refusals = 0

    private let mutant: Mutant?
    private var life: Life?
    /// In the chronicle, what the sync under way makes durable.
    private var syncing = 0

    init(_ mutant: Mutant? = nil, failure: TracedDisk.Failure? = nil) throws {
        directory = try TemporaryDirectory()
        disk = try TracedDisk(directory)
        disk.failure = failure
        disk.syncFault = mutant?.syncFault
        self.mutant = mutant
    }

    /// Lives through it, or until the disk fails.
    func live(_ lives: [[Step]] = Story.lives) throws -> End {
        defer { life = nil }
        for steps in lives {
            do { try disk.trace { try begin() } } catch let error as StoreError {
                return .refused(error)
            }
            // It opens, and the messages since the state before would be handled once more.
            if let slot = life?.report.damagedSlot {
                return .refused(.corrupt(place: slot, reason: "it could not be read"))
            }
            do {
                if let life { try disk.trace { try Self.expectMessages(of: life) } }
                for step in steps { try disk.trace { try perform(step) } }
            } catch let error as StoreError { return .ended(error) } catch is Torn {}
            life = nil
        }
        return .finished
    }

    /// Another life on a disk that is well again.
    func goOn() throws {
        disk.failure = nil
        let steps = [.append(9), .settle()] + Self.sync + [.append(9)] + Self.sync
        switch try live([steps, []]) {
        case .finished: break
        case .refused(let error), .ended(let error):
            throw Finding("it does not go on when the disk is well again: \(error)")
        }
    }

    private struct Torn: Error {}

    private func begin() throws {
        let life = try Life(directory, variant: Mutant.variant(mutant))
        self.life = life
        guard chronicle.mayFind(life.known) || life.report.damagedSlot != nil else {
            throw Finding("a new life finds \(life.known), which was not the last")
        }
        chronicle.note(life.known, events: disk.events.count)
        chronicle.acknowledge(chronicle.newest, events: disk.events.count)
    }

    /// Every message that is in the log is the one that was appended.
    static func expectMessages(of life: Life) throws {
        let (first, last) = (life.mailbox.oldestKept.value, life.mailbox.appended.value)
        guard first <= last else { return }
        for sequence in first...last {
            let message = try life.message(sequence)
            guard message == Life.message(sequence, count: message?.count ?? 0) else {
                throw Finding("message \(sequence) has other bytes")
            }
        }
    }

    private func perform(_ step: Step) throws {
        guard let life else { return }
        if case .roll(let count) = step {
            let ordinal = life.mailbox.readable.segment
            while life.mailbox.readable.segment == ordinal {
                try perform(.append(count))
                try perform(.flush)
            }
        }
        let before = (known: life.known, events: disk.events.count)
        do {
            // A batch was full, or a segment: everything before this step was written.
            defer {
                if disk.events.count > before.events {
                    chronicle.note(before.known, events: before.events)
                }
            }
            do throws(StoreError) { try Self.perform(step, life) } catch {
                // There is no room: nothing of it is there. Then there is again.
                guard case .noRoom = error else { throw error }
                guard life.known == before.known else {
                    throw Finding("what was refused has left something behind: \(life.known)")
                }
                refusals += 1
                if case .noRoomFrom = disk.failure {
                    if case .settle = step {
                        throw Finding("there is no room to settle what was accepted")
                    }
                    try fill(life)
                    disk.failure = nil
                }
                try Self.perform(step, life)
            }
        }
        switch step {
        case .flush, .mark: chronicle.note(life.known, events: disk.events.count)
        case .beginSync:
            syncing = chronicle.newest
            if mutant == .acknowledgesBeforeSync { acknowledge() }
        case .endSync: acknowledge()
        case .tear:
            disk.cutsNextWrite = true
            do { try life.flush() } catch { throw Torn() }
        default: break
        }
    }

    /// On a full disk: what still fits is accepted, and all of that can be settled.
    private func fill(_ life: Life) throws {
        for count in [300, 100, 30, 0] {
            while (try? life.append(count)) != nil {
                try life.flush()
                chronicle.note(life.known, events: disk.events.count)
            }
        }
        do throws(StoreError) {
            try life.settleAll(state: "what a full disk has accepted")
            try life.flush()
        } catch { throw Finding("it cannot settle what it has accepted: \(error)") }
        chronicle.note(life.known, events: disk.events.count)
    }

    private func acknowledge() { chronicle.acknowledge(syncing, events: disk.events.count) }

    private static func perform(_ step: Step, _ life: Life) throws(StoreError) {
        let (settled, appended) = (life.mailbox.standing.settled.value, life.mailbox.appended.value)
        switch step {
        case .append(let count): try life.append(count)
        case .appendWithID(let count): try life.appendWithID(count)
        case .answer(let count):
            if let entry = life.mailbox.standing.ids.all.last {
                try life.answer(entry.sequence, .reply(Life.message(entry.sequence, count: count)))
            }
        case .settle(let less, let state, let format):
            let sequence = max(settled, appended - min(appended, UInt64(less)))
            guard sequence > settled || state != nil else { return }
            try life.settle(sequence, state: state, format: format)
        case .checkpoint(let count):
            try life.settle(appended, large: Life.state(appended, count: count), format: 5)
        case .attempt: if settled < appended { try life.attempt(settled + 1) }
        case .bury(let count): if settled < appended { try life.bury(settled + 1, count: count) }
        case .forget:
            if let letter = life.mailbox.standing.deadLetters.first {
                try life.forget(letter.sequence)
            }
        case .switchTo(let version, let cause, let state, let drops):
            try life.switchTo(version, cause, state: state, dropsState: drops)
        case .confirm: try life.confirm()
        case .flush: try life.flush()
        case .beginSync: life.beginSync()
        case .runSync: try life.runSync()
        case .endSync: try life.endSync()
        case .keepHouse: life.keepHouse()
        case .mark: try life.mark()
        case .roll, .tear: break
        }
    }
}

/// What is not as it must be.
struct Finding: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
