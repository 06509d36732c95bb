// Every bit of a small log is flipped, one at a time.

import BatonCore
import BatonStore
import Testing

@Suite("A log with one wrong bit")
struct BitFlipTests {
    private func flip(_ log: DamagedLog, _ name: String, byte: Int, bits: UInt8) throws {
        try log.tryOut("\(name): byte \(byte) ^ \(bits)") { $0[name]?[byte] ^= bits }
    }

    private func flipEveryBit(_ log: DamagedLog, _ name: String, _ bytes: some Sequence<Int>) throws
    {
        for byte in bytes {
            for bit in 0..<8 as Range<UInt8> { try flip(log, name, byte: byte, bits: 1 << bit) }
        }
    }

    @Test("It is right, or told, or a torn end that nobody was told of: never wrong in silence")
    func oneSegment() throws {
        let log = try DamagedLog { life in
            try life.switchTo("1")
            try life.append(3)
            try life.append(8)
            try life.sync()
            try life.settle(1, state: "one")
            try life.attempt(2)
            try life.bury(2)
            try life.append(13)
            try life.sync()
            try life.append(0)
            try life.settle(3, state: "two")
            try life.flush()
            try life.switchTo("2")
            try life.append(5)
            try life.flush()
            try life.settle(4, state: "four", format: 2)
            try life.appendWithID(6)
            try life.answer(5, .reply([1, 2, 3]))
            try life.settle(5)
            try life.switchTo("1", .rollback, state: "back")
            try life.flush()
            try life.switchTo("3")
            try life.forget(2)
            try life.confirm()
            try life.flush()
        }
        let segment = try #require(log.log.segments.first)
        try flipEveryBit(log, segment.name, 0..<96)
        for byte in 96..<4096 { try flip(log, segment.name, byte: byte, bits: 0xff) }
        try flipEveryBit(log, segment.name, 4096..<segment.end + 72)
        for byte in [segment.end + 4096, segment.byteCount - 1] {
            try flip(log, segment.name, byte: byte, bits: 1)
        }
        #expect(log.counts.torn > 0 && log.counts.corrupt > 0)
        print("one wrong bit, one segment: \(log.counts)")
    }

    @Test(
        "What was synced last, and marked as nothing follows: no bit, no page of it is a torn end")
    func marked() throws {
        let log = try DamagedLog { life in
            try life.switchTo("1")
            try life.append(8)
            try life.sync()
            try life.append(3)
            try life.settle(1, state: "one")
            try life.sync()
            let wants = life.mailbox.wantsMark
            #expect(wants)
            try life.mark()
            let wantsMore = life.mailbox.wantsMark
            #expect(!wantsMore)
        }
        let segment = try #require(log.log.segments.first)
        try flipEveryBit(log, segment.name, 512..<530)
        #expect(log.counts.corrupt == 0)
        try flipEveryBit(log, segment.name, 4096..<segment.end)
        let whole = log.counts.whole
        for start in stride(from: 4096, to: segment.end, by: 8) {
            try log.tryOut("zeros from \(start)") { $0[segment.name]?.zero(start..<start + 4096) }
        }
        #expect(log.counts.torn == 0 && log.counts.corrupt > 0 && log.counts.whole == whole)
        print("one wrong bit, all of it marked: \(log.counts)")
    }

    @Test("The same where two segments meet")
    func twoSegments() throws {
        let log = try DamagedLog { life in
            while life.mailbox.readable.offset < 240_000 {
                try life.append(5000)
                try life.flush()
                life.keepHouse()
            }
            while life.mailbox.readable.segment == 1 {
                try life.append(300)
                try life.flush()
            }
            try life.settle(1, state: "one")
            try life.sync()
            try life.append(5)
            try life.flush()
        }
        let first = log.log.segments[0]
        let second = log.log.segments[1]
        let last = try #require(first.batches.last)
        try flipEveryBit(log, first.name, last.range.lowerBound..<last.range.lowerBound + 100)
        let footer = try #require(first.footer)
        try flipEveryBit(
            log, first.name, stride(from: footer.range.lowerBound, to: first.end + 56, by: 5))
        try flipEveryBit(log, second.name, 0..<84)
        try flipEveryBit(log, second.name, stride(from: 4096, to: second.end + 8, by: 3))
        #expect(log.counts.torn > 0 && log.counts.corrupt > 0 && log.counts.whole > 0)
        print("one wrong bit, two segments: \(log.counts)")
    }

    @Test("The same where the older segments are gone")
    func lonelySegment() throws {
        let log = try DamagedLog { life in
            try life.switchTo("1")
            try life.append(10)
            try life.bury(1, count: 40)
            while life.mailbox.readable.segment == 1 {
                try life.append(4000)
                try life.settleAll(state: "state of \(life.mailbox.appended)")
                if life.mailbox.readable.offset > 220_000 { try life.switchTo("2") }
                try life.flush()
            }
            try life.confirm()
            try life.sync()
            try life.switchTo("3", state: "three")
            try life.flush()
        }
        let segment = try #require(log.log.segments.first)
        #expect(segment.ordinal == 2 && log.log.segments.count == 1)
        try flipEveryBit(log, segment.name, 0..<84)
        let base = try #require(segment.batches.first)
        try flipEveryBit(log, segment.name, base.range)
        try flipEveryBit(
            log, segment.name, stride(from: base.range.upperBound, to: segment.end + 8, by: 41))
        #expect(log.counts.corrupt > 0)
        print("one wrong bit, a segment that stands alone: \(log.counts)")
    }

    @Test("The same where there never was a message, only states")
    func statesOnly() throws {
        let log = try DamagedLog { life in
            try life.switchTo("1")
            while life.mailbox.readable.segment == 1 {
                try life.settle(0, state: String(repeating: "s", count: 3000))
                try life.flush()
            }
            try life.sync()
        }
        let segment = try #require(log.log.segments.first)
        #expect(segment.ordinal == 2 && segment.firstSequence == 1)
        let base = try #require(segment.batches.first)
        try flipEveryBit(log, segment.name, stride(from: 4096, to: base.range.upperBound, by: 13))
        #expect(log.counts.torn == 0)
    }
}
