// A mailbox that knows as much as one may: as many dead letters as there is room for, and two states
// of the largest size. All of that stands at the beginning of every segment.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("A mailbox with large base records")
struct LargeBaseTests {
    /// As much as a log of format 2 may hold.
    private static let stateBytes = 1 << 20

    private static func state(_ byte: UInt8) -> [UInt8] {
        [UInt8](repeating: byte, count: stateBytes)
    }

    private func settleAll(_ life: Life, _ byte: UInt8) throws(StoreError) {
        try life.settle(life.mailbox.appended.value, bytes: Self.state(byte))
        try life.flush()
    }

    /// - Parameter letterBytes: of each dead letter.
    private func fill(_ life: Life, letterBytes: Int) throws(StoreError) {
        try life.switchTo("1")
        try life.append(1)
        try settleAll(life, 1)
        let letter = [UInt8](repeating: 3, count: letterBytes)
        while life.mailbox.standing.hasRoom(forLetterOf: letterBytes) {
            let sequence = try life.append(letter)
            try life.attempt(sequence.value)
            try life.bury(sequence.value, bytes: letter)
            try life.flush()
            life.keepHouse()
        }
        try life.switchTo("2")
        try life.append(1)
        try settleAll(life, 2)
        try life.sync()
    }

    @Test(
        "It is kept over segments and lives, and takes no more than its share of them",
        arguments: [1 << 20, (4 << 20) / 256, 0])
    func share(letterBytes: Int) throws {
        let directory = try TemporaryDirectory()
        var life = try Life(directory)
        try fill(life, letterBytes: letterBytes)
        #expect(life.mailbox.standing.deadLetters.count > 3)
        #expect(throws: StoreError.self) {
            try life.append(10)
            try life.bury(life.mailbox.appended.value, bytes: [0])
        }
        let kept = life.known.standing.fallback
        for round in 0..<60 {
            try life.append(40_000)
            try settleAll(life, UInt8(round))
            if round % 5 == 0 { try life.sync() }
            if round % 20 == 19 {
                try life.sync()
                let known = life.known
                life = try Life(directory)
                try #require(life.known == known)
            }
        }
        #expect(life.known.standing.fallback == kept)
        let log = try directory.log()
        #expect(log.segments.allSatisfy { $0.byteCount <= FixedLimits.lastSegmentBytes })
        let bases = log.records.reduce(0) { $0 + ($1.kind == .base ? $1.payload.count : 0) }
        let all = log.segments.reduce(0) { $0 + $1.end }
        #expect(bases * 2 < all, "\(bases) bytes of \(all) are base records")
        try life.confirm()
        try life.sync()
        #expect(try directory.log().segments.count < 3)
    }

    @Test("What waits can be settled on a full disk, with a new state of the largest size")
    func fullDisk() throws {
        for keepsHouse in [false, true] {
            let directory = try TemporaryDirectory()
            let disk = try TracedDisk(directory)
            let life = try Life(directory)
            try fill(life, letterBytes: 1 << 20)
            try disk.trace { () throws(StoreError) in
                disk.failure = .noRoom
                let message = [UInt8](repeating: 5, count: 30_000)
                var count = 0
                while true {
                    do throws(StoreError) { _ = try life.append(message) } catch {
                        guard case .noRoom = error else { throw error }
                        break
                    }
                    try life.flush()
                    if keepsHouse { life.keepHouse() }
                    count += 1
                }
                #expect(count > 10)
                for byte in 1...3 as ClosedRange<UInt8> { try settleAll(life, byte) }
                try life.sync()
            }
            #expect(try Life(directory).known == life.known)
            disk.failure = nil
            try life.append(30_000)
        }
    }

    @Test("A spare that became too small for what is known is none: another is made")
    func smallSpare() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        func spareBytes() throws -> Int { try directory.contents()["spare"]?.count ?? 0 }
        while try spareBytes() == 0 {
            try life.append(5000)
            try life.flush()
            life.keepHouse()
        }
        let small = try spareBytes()
        #expect(small < Self.stateBytes)
        let segment = life.mailbox.readable.segment
        // The state's record does not fit this segment: it goes to a larger one.
        try settleAll(life, 1)
        #expect(life.mailbox.readable.segment == segment + 1)
        for _ in 0..<30 {
            try life.append(60_000)
            try life.flush()
            life.keepHouse()
        }
        #expect(try spareBytes() > 2 * Self.stateBytes)
        try life.switchTo("1")
        try life.switchTo("2")
        #expect(try Life(directory).known.appended == life.known.appended)
    }

    @Test("A message larger than all dead letters may be is a dead letter, if it is the only one")
    func single() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        let large = [UInt8](repeating: 9, count: FixedLimits.deadLetterBytes + 5)
        for _ in 0..<2 { try life.append(large) }
        try life.bury(1, bytes: large)
        let known = life.known
        #expect(throws: StoreError.deadLettersFull(count: 1)) { try life.bury(2, bytes: [1]) }
        #expect(life.known == known)
        try life.forget(1)
        try life.bury(2, bytes: large)
        try life.settleAll()
        try life.sync()
        #expect(try Life(directory).known == life.known)
        #expect(life.known.standing.deadLetters.map(\.bytes) == [large])
    }
}
