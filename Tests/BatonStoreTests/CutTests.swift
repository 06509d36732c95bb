// A log that ends in the middle: what was written last and not synced may be there in part.

import BatonCore
import BatonStore
import Testing

@Suite("A log that was cut")
struct CutTests {
    /// Two synced batches, then some that are not.
    private func oneSegment() throws -> (DamagedLog, synced: Int) {
        var synced = 0
        let log = try DamagedLog { life in
            try life.switchTo("1")
            try life.append(3)
            try life.append(13)
            try life.sync()
            try life.settle(1, state: "one")
            try life.append(40)
            try life.sync()
            synced = Int(life.mailbox.durable.offset)
            for step in 0..<4 as Range<UInt64> {
                try life.append(5 + 9 * Int(step))
                try life.settle(2 + step, state: step % 2 == 0 ? nil : "state \(step)")
                try life.attempt(3 + step)
                try life.flush()
            }
            try life.append(5)
            try life.bury(life.mailbox.appended.value, count: 9)
            try life.switchTo("2")
            try life.flush()
            try life.appendWithID(11)
            try life.answer(life.mailbox.appended.value, .reply([1, 2]))
            try life.settleAll(state: "of 2")
            try life.appendWithID(7)
            try life.answer(life.mailbox.appended.value - 1, .error(code: "NO", text: "why"))
            try life.switchTo("1", .rollback, state: "back")
            try life.flush()
            try life.switchTo("3", dropsState: true)
            try life.forget(life.mailbox.standing.deadLetters[0].sequence)
            try life.flush()
            try life.confirm()
            try life.flush()
        }
        return (log, synced)
    }

    /// The last sync lies shortly before a segment's end; batches that are not synced follow, and
    /// those of the next segment.
    private func twoSegments() throws -> (DamagedLog, synced: Int) {
        var synced = 0
        let log = try DamagedLog { life in
            try life.switchTo("1")
            while life.mailbox.readable.offset < 250_000 {
                try life.append(3000)
                try life.flush()
                life.keepHouse()
            }
            try life.settle(life.mailbox.appended.value - 1, state: "settled")
            try life.sync()
            synced = Int(life.mailbox.durable.offset)
            while life.mailbox.readable.segment == 1 {
                try life.append(700)
                try life.flush()
            }
            try life.settle(life.mailbox.appended.value - 1, state: "more")
            try life.append(9)
            try life.flush()
            try life.append(10)
            try life.flush()
        }
        return (log, synced)
    }

    @Test("Cut at every byte beyond the last sync, it is a prefix of its batches")
    func everyByte() throws {
        let (log, synced) = try oneSegment()
        let segment = try #require(log.log.segments.first)
        for cut in synced...segment.end {
            try log.tryOut("cut at \(cut)", goesOn: true) { files in
                files[segment.name]?.zero(cut..<segment.byteCount)
            }
        }
        #expect(log.counts.corrupt == 0 && log.counts.torn > 0)
        print("cuts of one segment: \(log.counts)")
    }

    @Test("The same over the end of a segment, whatever there is of the next")
    func overSegments() throws {
        let (log, synced) = try twoSegments()
        let first = log.log.segments[0]
        let second = log.log.segments[1]
        for cut in synced...first.end where cut % 40 < 2 || first.end - cut < 40 {
            for state in NextSegment.allCases {
                try log.tryOut("cut at \(cut), the next \(state)") { files in
                    files[first.name]?.zero(cut..<first.byteCount)
                    state.apply(to: &files, second)
                }
            }
        }
        for cut in 0...second.end where cut < 100 || cut > 4000 {
            try log.tryOut("the second cut at \(cut)", goesOn: true) { files in
                files[second.name]?.zero(cut..<second.byteCount)
            }
        }
        // The second alone reached the disk in part.
        try log.tryOut("the second missing", goesOn: true) { $0[second.name] = nil }
        #expect(log.counts.corrupt == 0)
        print("cuts of two segments: \(log.counts)")
    }

    /// What the disk may have of a segment that was never synced.
    private enum NextSegment: CaseIterable {
        case missing, empty, header, whole

        func apply(to files: inout DamagedLog.Files, _ segment: LogImage.Segment) {
            switch self {
            case .missing: files[segment.name] = nil
            case .empty: files[segment.name]?.zero(0..<segment.byteCount)
            case .header: files[segment.name]?.zero(4096..<segment.byteCount)
            case .whole: break
            }
        }
    }

    @Test("A hole anywhere before what is known to be durable is damage, and nothing is changed")
    func holeBeforeTheMark() throws {
        let log = try DamagedLog { life in
            for count in [3, 8, 21] {
                try life.append(count)
                try life.settle(life.mailbox.appended.value, state: "state \(count)")
                try life.sync()
            }
            try life.append(1)
            try life.flush()
        }
        let segment = try #require(log.log.segments.first)
        let mark = try #require(segment.batches.last).durable
        for cut in 0..<mark.offset where cut < 90 || cut >= 4096 {
            try log.tryOut("hole from \(cut) to the mark") { files in
                files[segment.name]?.zero(cut..<mark.offset)
            }
        }
        #expect(log.counts.torn == 0)
        for page in 0..<mark.offset / 512 {
            try log.tryOut("sector \(page) is zero") { files in
                files[segment.name]?.zero(page * 512..<page * 512 + 512)
            }
        }
        print("holes before the mark: \(log.counts)")
    }
}

extension [UInt8] {
    /// Makes `range` zero, as far as there is any.
    mutating func zero(_ range: Range<Int>) {
        for index in range.clamped(to: indices) { self[index] = 0 }
    }
}
