// Some lives of one mailbox on a traced disk: what was known at each instant, and what of it somebody
// was told.

import BatonCore
import BatonLinux
import BatonStore

final class TracedLives {
    let disk: TracedDisk
    let directory: TemporaryDirectory
    private(set) var chronicle = Chronicle()

    private var life: Life?
    /// In the chronicle, what the sync under way makes durable.
    private var syncing = 0
    private var generator: SeededGenerator

    init(seed: UInt64) throws {
        directory = try TemporaryDirectory()
        disk = try TracedDisk(directory)
        generator = SeededGenerator(state: seed)
    }

    /// Lives through `steps` random steps and `kills` ends, or until the disk fails.
    /// - Returns: whether it failed.
    func live(steps: Int, kills: Int) -> Bool {
        disk.trace { () throws(Never) in
            do throws(StoreError) {
                for _ in 0...kills {
                    try begin()
                    for _ in 0..<steps { try step() }
                    life = nil
                }
                return false
            } catch {
                life = nil
                return true
            }
        }
    }

    /// One more life after a failed disk: what was acknowledged must be there, and it goes on.
    func liveOn() throws(StoreError) {
        disk.failure = nil
        try disk.trace { () throws(StoreError) in
            try begin()
            for _ in 0..<5 { try step() }
            try sync()
            life = nil
        }
    }

    private func begin() throws(StoreError) {
        let life = try Life(directory)
        self.life = life
        guard chronicle.mayFind(life.known) else {
            throw .corrupt(place: "a new life", reason: "\(life.known) was not the last")
        }
        note()
        chronicle.acknowledge(chronicle.newest, events: disk.events.count)
    }

    private func note() {
        guard let life else { return }
        chronicle.note(life.known, events: disk.events.count)
    }

    private func sync() throws(StoreError) {
        try beginSync()
        try endSync()
    }
    private func beginSync() throws(StoreError) {
        guard let life, !life.isSyncing else { return }
        try flush()
        life.beginSync()
        syncing = chronicle.newest
    }
    private func endSync() throws(StoreError) {
        guard let life, life.isSyncing else { return }
        try life.endSync()
        chronicle.acknowledge(syncing, events: disk.events.count)
    }

    private func flush() throws(StoreError) {
        try life?.flush()
        note()
    }

    private func step() throws(StoreError) {
        guard let life else { return }
        let appended = life.mailbox.appended.value
        let settled = life.mailbox.standing.settled.value
        let before = (known: life.known, events: disk.events.count)
        defer {
            // A batch was full, or a segment: everything before this step was written.
            if disk.events.count > before.events {
                chronicle.note(before.known, events: before.events)
            }
        }
        switch Int.random(in: 0..<26, using: &generator) {
        case 0...3: try life.append(Int.random(in: 0...60, using: &generator))
        case 4: try life.append(Int.random(in: 0...3000, using: &generator))
        case 5, 6: try life.append(Int.random(in: 20_000...90_000, using: &generator))
        case 7: try life.settleAll(state: "all \(appended)")
        case 8: try life.switchTo("version \(appended)")
        case 9: try flush()
        case 10: try beginSync()
        case 11: try endSync()
        case 12:
            try sync()
            if Bool.random(using: &generator) { life.keepHouse() }
        case 13: try life.confirm()
        case 14: try rollBack()
        case 15:
            if let letter = life.mailbox.standing.deadLetters.randomElement(using: &generator) {
                try life.forget(letter.sequence)
            }
        case 20, 21: try appendWithID(life)
        case 22: try answerOne(life)
        case 23, 24: try settleLarge(life)
        case 25:
            if life.mailbox.standing.state?.checkpoint != nil { try life.copyState() }
        case let step where settled < appended:
            let next = settled + 1
            let sequence = UInt64.random(in: next...appended, using: &generator)
            switch step {
            case 16: try life.settle(sequence, state: "state at \(sequence)")
            case 17: try life.settle(sequence, state: "state at \(sequence)", format: 3)
            case 18: try life.settle(sequence)
            default:
                try life.attempt(next)
                let count = Int.random(in: 0...2000, using: &generator)
                if Bool.random(using: &generator) { try life.bury(next, count: count) }
            }
        default: break
        }
    }

    private func settleLarge(_ life: Life) throws(StoreError) {
        let settled = life.mailbox.standing.settled.value
        let sequence = UInt64.random(
            in: settled...life.mailbox.appended.value, using: &generator)
        let count = Int.random(in: 1...9000, using: &generator)
        try life.settle(sequence, large: Life.state(sequence, count: count), format: 5)
    }

    private func appendWithID(_ life: Life) throws(StoreError) {
        do throws(StoreError) {
            try life.appendWithID(Int.random(in: 0...300, using: &generator))
        } catch {
            // All that it may remember waits.
            guard case .idsFull = error else { throw error }
        }
    }

    private func answerOne(_ life: Life) throws(StoreError) {
        guard let entry = life.mailbox.standing.ids.all.randomElement(using: &generator) else {
            return
        }
        let count = Int.random(in: 0...400, using: &generator)
        let answer: IDWindow.Answer =
            count % 3 == 0
            ? .error(code: "NO", text: "because of \(count)")
            : .reply(Life.message(entry.sequence, count: count))
        try life.answer(entry.sequence, answer)
    }

    /// To what there is to fall back to, with the state it had, another, or none.
    private func rollBack() throws(StoreError) {
        guard let life, let fallback = life.mailbox.standing.fallback else { return }
        let version = fallback.release.version
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: try life.switchTo(version, .rollback, state: "back at \(version)")
        case 3:
            try life.switchTo(
                version, .rollback, large: Life.state(life.mailbox.appended.value + 500))
        case 1: try life.switchTo(version, .boot)
        default: try life.switchTo(version, .byHand, dropsState: true)
        }
    }
}
