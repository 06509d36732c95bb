// What a repair makes of states that lie in slots, and what a survey says of damaged ones.

import BatonCore
import BatonStore
import Testing

@Suite("A damaged mailbox with large states")
struct SalvagedStateTests {
    private let service = ServiceName("test")

    /// Six messages, of which four are settled, each with a state in a slot; all of it durable.
    private func files() throws -> [String: [UInt8]] {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        for _ in 1...6 { try life.append(20) }
        try life.sync()
        for number in 1...4 as ClosedRange<UInt64> {
            try life.settle(number, large: Life.state(number), format: 3)
            try life.sync()
        }
        try life.append(20)
        try life.sync()
        return try directory.contents()
    }

    private func damage(message sequence: UInt64, _ files: inout [String: [UInt8]]) throws {
        let record = try #require(
            LogImage(files).records.first { $0.kind == .message && $0.sequence == sequence })
        files["0000000001.segment"]?[record.range.lowerBound + 40] ^= 1
    }

    /// The slots of the state and of the one before it.
    private func slots(_ files: [String: [UInt8]]) throws -> (last: String, before: String) {
        let directory = try TemporaryDirectory()
        try directory.restore(files)
        let standing = try Life(directory).mailbox.standing
        let last = try #require(standing.state?.checkpoint)
        let before = try #require(standing.earlier?.state?.checkpoint)
        return (CheckpointSlot.fileName(last.slot), CheckpointSlot.fileName(before.slot))
    }

    @Test("The state goes into the new log as it was")
    func whole() throws {
        var files = try files()
        try damage(message: 5, &files)
        let repaired = try Repaired(files)
        #expect(repaired.lost == [5] && repaired.salvage.again == nil)
        let state = try #require(repaired.life.known.standing.state)
        #expect(state.bytes == Life.state(4) && state.format == 3 && state.checkpoint == nil)
        #expect(repaired.life.known.standing.settled.value == 5)
    }

    @Test("Its slot is damaged too: the state before it counts, and what came since comes again")
    func slotDamaged() throws {
        var files = try files()
        let slot = try slots(files).last
        try damage(message: 6, &files)
        files[slot]?[5000] ^= 1
        let repaired = try Repaired(files)
        #expect(repaired.lost == [6])
        #expect(repaired.salvage.again == 4...4)
        #expect(repaired.life.known.standing.state?.bytes == Life.state(3))
        #expect(repaired.life.known.standing.settled.value == 3)
        #expect(try repaired.life.message(4) == Life.message(4, count: 20))
    }

    @Test(
        "Neither can be read, and the log is there from its beginning: all of it is handled again")
    func bothDamaged() throws {
        var files = try files()
        let (last, before) = try slots(files)
        try damage(message: 5, &files)
        files[last]?[5000] ^= 1
        files[before]?[5000] ^= 1
        let repaired = try Repaired(files)
        #expect(!repaired.salvage.isStateLost && repaired.lost == [5])
        #expect(repaired.salvage.again == 1...4)
        let standing = repaired.life.known.standing
        #expect(standing.state == nil && standing.settled == .none)
        #expect(standing.release?.version == "1")
        #expect(try repaired.life.message(2) == Life.message(2, count: 20))
    }

    @Test(
        "Neither can be read, but one from before an upgrade: it counts, and so does the way back")
    func formerState() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        for _ in 1...6 { try life.append(20) }
        try life.settle(2, large: Life.state(2), format: 3)
        try life.sync()
        try life.switchTo("2")
        for number in 3...6 as ClosedRange<UInt64> {
            try life.settle(number, large: Life.state(number), format: 3)
            try life.sync()
        }
        var files = try directory.contents()
        let (last, before) = try slots(files)
        files[last]?[5000] ^= 1
        files[before]?[5000] ^= 1
        let repaired = try Repaired(files)
        #expect(!repaired.salvage.isStateLost && repaired.lost.isEmpty)
        #expect(repaired.salvage.again == 3...6)
        let standing = repaired.life.known.standing
        #expect(standing.state?.bytes == Life.state(2) && standing.settled.value == 2)
        #expect(standing.release?.version == "2" && standing.fallback?.release.version == "1")
    }

    @Test("None can be read that the log knows: it begins without, and that is told")
    func noState() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory, variant: .small)
        try life.switchTo("1")
        var number: UInt64 = 0
        while life.mailbox.oldestKept.value < 2 {
            try life.append(900)
            number += 1
            try life.settle(number, large: Life.state(number), format: 3)
            try life.sync()
        }
        try life.append(900)
        try life.sync()
        let oldest = life.mailbox.oldestKept.value
        var files = try directory.contents()
        for slot in ["checkpoint.a", "checkpoint.b"] { files[slot]?[5000] ^= 1 }
        let repaired = try Repaired(files)
        #expect(repaired.salvage.isStateLost && repaired.lost.isEmpty)
        #expect(repaired.salvage.again == oldest...number)
        let standing = repaired.life.known.standing
        #expect(standing.state == nil && standing.settled.value == oldest - 1)
    }

    @Test("A slot that recovery can do without is told, and is no damage; one that it cannot is")
    func survey() throws {
        var files = try files()
        let (last, before) = try slots(files)
        let service = try #require(service)
        func survey() throws -> Survey {
            let directory = try TemporaryDirectory()
            try directory.restore(files)
            return Survey(service, path: directory.path)
        }
        #expect(try survey().damagedSlots.isEmpty)
        files[last]?[5000] ^= 1
        let one = try survey()
        #expect(one.end == .clean && one.damagedSlots.count == 1)
        #expect(one.damagedSlots.first?.contains(last) == true)
        files[before]?[5000] ^= 1
        guard case .refused(.corrupt) = try survey().end else {
            Issue.record("both slots are damaged, and it is \(try survey().end)")
            return
        }
    }
}
