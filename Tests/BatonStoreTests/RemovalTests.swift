// Segments that nothing needs any more, on a disk that does not let them go.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("Segments that are let go")
struct RemovalTests {
    private static func name(_ ordinal: Int) -> String {
        let digits = String(ordinal)
        return String(repeating: "0", count: 10 - digits.count) + digits + ".segment"
    }

    /// Goes on in another segment with all before it settled, and does what is due.
    private func roll(_ life: Life, keepsHouse: Bool = true) throws(StoreError) {
        let ordinal = life.mailbox.readable.segment
        while life.mailbox.readable.segment == ordinal {
            try life.append([UInt8](repeating: 7, count: 60_000))
            try life.settleAll(state: "state \(life.mailbox.appended)")
            try life.flush()
        }
        try life.flush()
        life.beginSync()
        try life.endSync()
        if keepsHouse { life.keepHouse() }
    }

    private func ordinals(_ directory: TemporaryDirectory) throws -> [Int] {
        try directory.names().filter { $0.hasSuffix(".segment") }.compactMap { Int($0.prefix(10)) }
    }

    @Test("One that cannot be removed keeps those behind it, and goes before the next")
    func stays() throws {
        let directory = try TemporaryDirectory()
        let disk = try TracedDisk(directory)
        let life = try disk.trace { () throws(StoreError) in try Life(directory) }
        disk.failure = .remove(Self.name(1))
        try disk.trace { () throws(StoreError) in try roll(life) }
        #expect(try ordinals(directory) == [1, 2])
        try disk.trace { () throws(StoreError) in for _ in 0..<3 { try roll(life) } }
        #expect(try ordinals(directory) == [1, 2, 3, 4, 5])
        // No gap, whenever it ends.
        let between = try TemporaryDirectory()
        try between.restore(directory.contents())
        let again = try Life(between)
        #expect(again.known == life.known)
        try again.sync()
        #expect(try ordinals(between) == [5])

        disk.failure = nil
        try disk.trace { () throws(StoreError) in try roll(life) }
        #expect(try ordinals(directory) == [6])
        let removed = disk.events.compactMap { event in
            if case .remove(let name) = event, name.hasSuffix(".segment") { name } else { nil }
        }
        #expect(removed == (1...5).map(Self.name))
        #expect(try Life(directory).known == life.known)
    }

    @Test("One that fails in the middle keeps those behind it only")
    func middle() throws {
        let directory = try TemporaryDirectory()
        let disk = try TracedDisk(directory)
        let life = try Life(directory)
        disk.failure = .remove(Self.name(2))
        try disk.trace { () throws(StoreError) in for _ in 0..<4 { try roll(life) } }
        #expect(try ordinals(directory) == [2, 3, 4, 5])
        #expect(try Life(directory).known == life.known)
    }

    @Test("What is let go while a job is under way goes in a job after it")
    func underWay() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        for _ in 0..<3 { try roll(life, keepsHouse: false) }
        let jobs = life.takeJobs()
        #expect(jobs.count { if case .letGo = $0 { true } else { false } } == 1)
        #expect(try ordinals(directory) == [1, 2, 3, 4])
        for job in jobs { life.perform(job) }
        #expect(try ordinals(directory) == [2, 3, 4])
        let isKeepingHouse = life.mailbox.isKeepingHouse
        #expect(isKeepingHouse)
        life.keepHouse()
        let isKeepingHouseStill = life.mailbox.isKeepingHouse
        #expect(!isKeepingHouseStill)
        #expect(try ordinals(directory) == [4])
        #expect(try Life(directory).known == life.known)
    }

    @Test("One that cannot become the spare stays in its place, and is removed with the next")
    func recycling() throws {
        let directory = try TemporaryDirectory()
        let disk = try TracedDisk(directory)
        let life = try Life(directory)
        func isLargest(_ ordinal: Int) throws -> Bool {
            try directory.read(Self.name(ordinal)).count == FixedLimits.lastSegmentBytes
        }
        while try !isLargest(try ordinals(directory).last ?? 1) { try roll(life) }
        // There is a spare: it is used, and made from what is let go, in each round.
        let last = try #require(try ordinals(directory).last)
        for ordinal in last..<last + 3 {
            disk.failure = .rename(Self.name(ordinal))
            try disk.trace { () throws(StoreError) in try roll(life) }
            let left = try ordinals(directory)
            #expect(left == Array((left.first ?? 0)...(ordinal + 1)))
            #expect(try Life(directory).known == life.known)
        }
        disk.failure = nil
        try roll(life)
        try roll(life)
        #expect(try ordinals(directory).count == 1)
        #expect(try Life(directory).known == life.known)
    }
}
