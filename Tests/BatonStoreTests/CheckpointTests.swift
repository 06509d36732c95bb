// States in slots: what is written is read, what was cut off does not count, what is damaged is told,
// and no slot is written that a record names.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("A state in a slot")
struct CheckpointTests {
    private static let names = ["checkpoint.a", "checkpoint.b", "checkpoint.c"]

    private func slots(_ directory: TemporaryDirectory) throws -> [String] {
        try directory.names().filter { $0.hasPrefix("checkpoint") }
    }

    private func known(_ directory: TemporaryDirectory) throws -> Life.Known {
        try directory.log().known(afterBatches: directory.log().batches.count)
    }

    /// Two states, each durable: the first in slot a, the second in b.
    private func twoStates(count: Int = 2000) throws -> (TemporaryDirectory, Life) {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.switchTo("1")
        for number in 1...2 as ClosedRange<UInt64> {
            try life.append(20)
            try life.settle(number, large: Life.state(number, count: count), format: 3)
            try life.sync()
        }
        return (directory, life)
    }

    // MARK: Written and read

    @Test("It comes back whatever its size, and the log stays small")
    func comesBack() throws {
        let directory = try TemporaryDirectory()
        var life = try Life(directory)
        try life.switchTo("1")
        for (number, count) in zip(1..., [0, 1, 100, 5000, 60_000, 3 << 20, 40, 4 << 20]) {
            try life.append(20)
            let state = Life.state(UInt64(number), count: count)
            try life.settle(UInt64(number), large: state, format: 3)
            try life.sync()
            let before = life.known
            #expect(before.standing.state?.bytes == state)
            #expect(try known(directory) == before)
            life = try Life(directory)
            #expect(life.known == before)
        }
        #expect(try directory.names() == ["0000000001.segment"] + Self.names[..<2])
        #expect(life.mailbox.readable.offset < 20_000)
    }

    @Test("Two slots take turns; a third holds what a provisional release goes back to")
    func turns() throws {
        let (directory, life) = try twoStates()
        func slot() -> UInt8? { life.mailbox.standing.state?.checkpoint?.slot }
        #expect(slot() == 1)
        func settleNext() throws {
            try life.append(9)
            let next = life.mailbox.appended.value
            try life.settle(next, large: Life.state(next))
            try life.sync()
        }
        for expected in [0, 1, 0] as [UInt8] {
            try settleNext()
            #expect(slot() == expected)
        }
        try life.switchTo("2")
        for expected in [1, 2, 1, 2] as [UInt8] {
            try settleNext()
            #expect(slot() == expected)
        }
        #expect(life.mailbox.standing.fallback?.state?.bytes == Life.state(5))
        #expect(try Life(directory).known == life.known)
        try life.confirm()
        try life.sync()
        for expected in [0, 1, 0] as [UInt8] {
            try settleNext()
            #expect(slot() == expected)
        }
        #expect(try slots(directory) == Self.names)
    }

    @Test("What is not synced uses up the slots; the next sync frees them")
    func unsynced() throws {
        let (directory, life) = try twoStates()
        for _ in 0..<2 {
            try life.append(5)
            let next = life.mailbox.appended.value
            let written = try #require(try life.checkpoint(Life.state(next)))
            try life.settle(next, written: written)
            try life.flush()
        }
        #expect(try life.checkpoint(Life.state(9)) == nil)
        // A sync that has begun has not ended.
        life.beginSync()
        #expect(try life.checkpoint(Life.state(9)) == nil)
        try life.endSync()
        #expect(try life.checkpoint(Life.state(9)) != nil)
        #expect(try Life(directory).known == life.known)
    }

    @Test("A slot that has no place in the log is none of it: only a record makes it count")
    func unnamed() throws {
        let (directory, life) = try twoStates()
        let known = life.known
        _ = try #require(try life.checkpoint(Life.state(99)))
        #expect(try Life(directory).known == known)
    }

    // MARK: Cut off

    @Test("A state that was cut off at any byte, in any sectors, leaves the one before as it was")
    func cutOff() throws {
        let (directory, life) = try twoStates(count: 1500)
        let known = life.known
        let before = try directory.contents()
        _ = try #require(try life.checkpoint(Life.state(3, count: 1500)))
        let after = try directory.contents()
        let name = Self.names[0]
        let changed = try #require(after[name])
        #expect(before[name] != changed)
        #expect(before.filter { $0.key != name } == after.filter { $0.key != name })
        let scratch = try TemporaryDirectory()
        var generator = SeededGenerator(state: 9)
        var count = 0
        func tryOut(_ bytes: [UInt8]) throws {
            var files = before
            files[name] = bytes
            try scratch.restore(files)
            let next = try Life(scratch)
            try #require(next.known == known)
            try #require(next.report.damagedSlot == nil)
            count += 1
        }
        for cut in 4096..<4096 + 1500 {
            try tryOut(Array(changed[..<cut]) + Array((before[name] ?? [])[cut...]))
        }
        for _ in 0..<200 {
            var bytes = before[name] ?? []
            for start in stride(from: 0, to: bytes.count, by: 512)
            where Bool.random(using: &generator) {
                bytes.replaceSubrange(start..<start + 512, with: changed[start..<start + 512])
            }
            try tryOut(bytes)
        }
        print("states cut off: \(count)")
    }

    @Test("The record that names it, cut at any byte, is torn: the state before counts")
    func cutRecord() throws {
        var synced = 0
        let log = try DamagedLog { life in
            try life.switchTo("1")
            try life.append(20)
            try life.settle(1, large: Life.state(1))
            try life.sync()
            synced = Int(life.mailbox.durable.offset)
            try life.append(8)
            try life.settle(2, large: Life.state(2), format: 3)
            try life.flush()
            try life.append(9)
            try life.flush()
        }
        let segment = try #require(log.log.segments.first)
        for cut in synced...segment.end {
            try log.tryOut("cut at \(cut)", goesOn: true) { files in
                files[segment.name]?.zero(cut..<segment.byteCount)
            }
        }
        #expect(log.counts.torn > 100 && log.counts.corrupt == 0)
        print("records of slots cut: \(log.counts)")
    }

    @Test("A write or a sync of a slot that fails: nothing is named, and the state is as it was")
    func failures() throws {
        let (directory, life) = try twoStates()
        let known = life.known
        // The slot is there; a new file is needed: each of its writes, its sync, its name.
        for (count, events) in [(2000, 2), (200_000, 8)] {
            var failed = 0
            for number in 0..<events {
                for failure in [TracedDisk.Failure.write(number), .sync(number)] {
                    let disk = try TracedDisk(directory)
                    disk.failure = failure
                    let written = disk.trace {
                        Result { () throws(CheckpointSlot.Failure) in
                            try life.checkpoint(Life.state(7, count: count))
                        }
                    }
                    if case .failure = written { failed += 1 }
                    let unfinished = try directory.names().filter { $0.hasSuffix(".new") }
                    #expect(unfinished.isEmpty)
                    #expect(try Life(directory).known == known)
                }
            }
            #expect(failed >= 2, "of \(count) bytes")
        }
    }

    // MARK: No room

    @Test("Where there is no room for a larger slot, nothing is lost and nothing goes")
    func noRoom() throws {
        let (directory, life) = try twoStates()
        let files = try directory.contents()
        let disk = try TracedDisk(directory)
        disk.failure = .noRoom
        for _ in 0..<3 {
            let written = disk.trace {
                Result { () throws(CheckpointSlot.Failure) in
                    try life.checkpoint(Life.state(3, count: 100_000))
                }
            }
            guard case .failure(.noRoom) = written else {
                Issue.record("\(written)")
                continue
            }
        }
        #expect(try directory.contents() == files)
        // One that fits needs no room.
        let fits = try disk.trace { () throws(CheckpointSlot.Failure) in
            try life.checkpoint(Life.state(3, count: 20_000))
        }
        #expect(fits != nil)
        disk.failure = nil
        try life.append(5)
        try life.settle(3, large: Life.state(3, count: 100_000))
        try life.sync()
        #expect(try Life(directory).known == life.known)
    }

    // MARK: Damage

    /// Opens what `damage` leaves; the earlier state must be offered, and nothing else be different.
    private func expectLost(
        _ files: [String: [UInt8]], _ known: Life.Known, _ scratch: TemporaryDirectory,
        _ what: String
    ) throws {
        try scratch.restore(files)
        for _ in 0..<2 {
            let life = try Life(scratch)
            try #require(
                life.report.damagedSlot?.contains("checkpoint.b") == true,
                "\(what): \(life.report)")
            let lost = try #require(life.lost, "\(what)")
            try #require(lost.state?.bytes == Life.state(1, count: 2000), "\(what)")
            try #require(lost.settled == SequenceNumber(1), "\(what)")
            var standing = known.standing
            standing.state?.bytes = []
            try #require(life.known.standing == standing, "\(what)")
        }
    }

    @Test("Any wrong bit of the state's slot: the earlier state, and the messages since are there")
    func wrongBits() throws {
        let (directory, life) = try twoStates()
        let files = try directory.contents()
        let scratch = try TemporaryDirectory()
        var counts = (lost: 0, whole: 0)
        for byte in Array(0..<60) + Array(4094..<4096 + 2002) {
            for bit in 0..<8 as Range<UInt8> where byte < 4200 || bit == UInt8(byte % 8) {
                var damaged = files
                damaged[Self.names[1]]?[byte] ^= 1 << bit
                let what = "byte \(byte) ^ \(1 << bit)"
                // Compatible features, the page's rest, and what lies behind the state.
                if 52..<4096 ~= byte || byte >= 4096 + 2000 {
                    try scratch.restore(damaged)
                    try #require(try Life(scratch).known == life.known, "\(what)")
                    counts.whole += 1
                } else {
                    try expectLost(damaged, life.known, scratch, what)
                    counts.lost += 1
                }
            }
        }
        print("wrong bits in a slot: \(counts)")
        for (what, bytes) in [
            ("cut short", Array((files[Self.names[1]] ?? [])[..<5000])), ("empty", []),
            ("another's", files[Self.names[0]] ?? []),
        ] {
            var damaged = files
            damaged[Self.names[1]] = bytes
            try expectLost(damaged, life.known, scratch, what)
        }
        var damaged = files
        damaged[Self.names[1]] = nil
        try expectLost(damaged, life.known, scratch, "missing")
    }

    @Test("A damaged slot that no record counts on says nothing")
    func otherSlot() throws {
        let (directory, life) = try twoStates()
        var files = try directory.contents()
        files[Self.names[0]]?[4100] ^= 4
        files[Self.names[2]] = [1, 2, 3]
        let scratch = try TemporaryDirectory()
        try scratch.restore(files)
        let next = try Life(scratch)
        #expect(next.known == life.known && next.report.damagedSlot == nil)
    }

    @Test("Both slots damaged: told with their names, and nothing is changed")
    func bothSlots() throws {
        let (directory, _) = try twoStates()
        var files = try directory.contents()
        files[Self.names[0]]?[4100] ^= 4
        files[Self.names[1]]?[4100] ^= 4
        let scratch = try TemporaryDirectory()
        try scratch.restore(files)
        for _ in 0..<2 {
            do throws(StoreError) {
                _ = try Life(scratch)
                Issue.record("it was opened")
            } catch {
                #expect("\(error)".contains("checkpoint.b (the state after message 2)"))
                #expect("\(error)".contains("of checkpoint.a it does not hold"))
            }
            #expect(try scratch.holds(files))
        }
    }

    @Test("The earlier state stays until the state is there again; then the slots are whole")
    func comesToItself() throws {
        let (directory, first) = try twoStates()
        let known = first.known
        var files = try directory.contents()
        files[Self.names[1]]?[4100] ^= 4
        let scratch = try TemporaryDirectory()
        try scratch.restore(files)
        let life = try Life(scratch)
        // Over the end of a segment: the base record says the same.
        while life.mailbox.readable.segment == 1 {
            try life.append(30_000)
            try life.flush()
        }
        try life.sync()
        #expect(try Life(scratch).lost == life.lost)
        let again = try Life(scratch)
        let state = try #require(known.standing.state)
        try again.switchTo("1", .recovery, large: state.bytes)
        #expect(again.lost == nil)
        // Until the record is durable, the earlier one is there still.
        #expect(again.mailbox.standing.state?.checkpoint?.slot == 2)
        try again.sync()
        let after = try Life(scratch)
        #expect(after.known == again.known && after.report.damagedSlot == nil)
        #expect(after.mailbox.standing.state?.bytes == state.bytes)
        #expect(after.mailbox.standing.settled == known.standing.settled)
        #expect(after.mailbox.standing.history.last?.cause == .recovery)
        #expect(after.wantsCopy)
        try after.copyState()
        try after.sync()
        #expect(!after.wantsCopy)
    }

    @Test("With a fallback too, all three slots in use, the damaged one is written over")
    func allInUse() throws {
        let (directory, life) = try twoStates()
        try life.switchTo("2")
        for _ in 0..<2 {
            try life.append(5)
            try life.settle(
                life.mailbox.appended.value, large: Life.state(life.mailbox.appended.value))
            try life.sync()
        }
        let standing = life.mailbox.standing
        let damaged = try #require(standing.state?.checkpoint?.slot)
        let good = try #require(standing.earlier?.state?.checkpoint?.slot)
        let fallback = try #require(standing.fallback?.state?.checkpoint?.slot)
        #expect(Set([damaged, good, fallback]).count == 3)
        var files = try directory.contents()
        files[Self.names[Int(damaged)]]?[4200] ^= 1
        let scratch = try TemporaryDirectory()
        try scratch.restore(files)
        let next = try Life(scratch)
        #expect(next.lost?.state?.bytes == Life.state(3))
        let written = try #require(try next.checkpoint(Life.state(4)))
        #expect(written.checkpoint.slot == damaged)
        #expect(next.mailbox.standing.fallback == standing.fallback)
    }

    @Test("The slot of a fallback is damaged: the release is confirmed, and that is told")
    func fallback() throws {
        let (directory, life) = try twoStates()
        try life.switchTo("2")
        try life.append(5)
        try life.settle(3, large: Life.state(3))
        try life.sync()
        var files = try directory.contents()
        files[Self.names[1]]?[4100] ^= 4
        let scratch = try TemporaryDirectory()
        try scratch.restore(files)
        let next = try Life(scratch)
        #expect(next.report.damagedFallback?.contains("checkpoint.b") == true)
        #expect(next.report.damagedSlot == nil)
        var standing = life.mailbox.standing
        _ = standing.confirm()
        #expect(next.known.standing == standing)
        let again = try Life(scratch)
        #expect(again.report.damagedFallback == nil && again.known == next.known)
    }

    @Test("A slot of a newer format, or with unknown features, is told; nothing is changed")
    func newerFormat() throws {
        let (directory, _) = try twoStates()
        for (offset, found) in [(8, 4 as UInt32), (12, 3)] {
            for name in Self.names[..<2] {
                var files = try directory.contents()
                files["spare.new"] = [1]
                var bytes = try #require(files[name])
                bytes[offset] = 4
                let crc = LogImage.crc(bytes[..<48])
                for index in 0..<4 {
                    bytes[48 + index] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(index)))
                }
                files[name] = bytes
                let scratch = try TemporaryDirectory()
                try scratch.restore(files)
                let place = "\(scratch.path)/\(name)"
                #expect(throws: StoreError.newerFormat(found: found, known: 3, place: place)) {
                    try Life(scratch)
                }
                #expect(throws: StoreError.newerFormat(found: found, known: 3, place: place)) {
                    try Recovery.checkFormat(path: scratch.path)
                }
                #expect(try scratch.holds(files))
            }
        }
        try Recovery.checkFormat(path: directory.path)
    }

    @Test("Slots without a segment: every segment is missing")
    func noSegment() throws {
        let (directory, _) = try twoStates()
        try directory.remove("0000000001.segment")
        let files = try directory.contents()
        #expect(throws: StoreError.self) { try Life(directory) }
        #expect(try directory.holds(files))
    }

    // MARK: How long the log is kept

    @Test("The log stays back to the earlier state's message, and goes when the state is copied")
    func retention() throws {
        let (directory, life) = try twoStates()
        let earlier = try #require(life.mailbox.standing.earlier)
        func roll() throws {
            for _ in 0..<40 {
                try life.append(60_000)
                try life.settleAll()
                try life.sync()
            }
        }
        // Every message is settled, and none has changed the state.
        while !life.wantsCopy {
            try roll()
            #expect(life.mailbox.oldestKept <= earlier.settled.next)
            #expect(life.mailbox.byteCount < 128 << 20)
        }
        #expect(life.mailbox.standing.earlier == earlier)
        #expect(try Life(directory).known == life.known)
        try life.copyState()
        try life.sync()
        try life.sync()
        #expect(!life.wantsCopy)
        #expect(life.mailbox.oldestKept > earlier.settled.next)
        #expect(life.mailbox.byteCount <= 48 << 20)
        #expect(try Life(directory).known == life.known)
    }
}
