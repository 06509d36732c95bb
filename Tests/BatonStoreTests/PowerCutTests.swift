// The power is cut at every instant of a mailbox's lives, while it is written to and while it is
// recovered: what was acknowledged is there, and what is there was written.

import BatonCore
import BatonStore
import Testing

@Suite("A mailbox whose power is cut")
struct PowerCutTests {
    private struct Counts {
        var events = 0
        var images = 0
        var whileRecovering = 0
    }

    @Test(
        "It holds all that was acknowledged and a prefix of the rest",
        arguments: Thoroughness.isFull ? 1...12 : 1...1)
    func everyInstant(seed: Int) throws {
        let lives = try TracedLives(seed: UInt64(seed))
        let failed = lives.live(steps: 40, kills: 3)
        #expect(!failed)
        let counts = try cut(lives, seed)
        print("power cuts, seed \(seed): \(counts)")
    }

    /// Cuts the power after each event.
    private func cut(_ lives: TracedLives, _ seed: Int) throws -> Counts {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(state: UInt64(seed))
        var disk = PowerCut(try TracedDisk(directory), [:])
        var counts = Counts()
        for (index, event) in lives.disk.events.enumerated() {
            disk.happens(event)
            counts.events += 1
            for reaching in PowerCut.Reaching.allCases {
                let image = disk.image(reaching, &generator)
                try directory.restore(image)
                let what = "seed \(seed), event \(index), \(reaching)"
                let deeper = counts.images % 11 == 0
                let known = try open(directory, image, deeper, &counts, &generator, what)
                try check(known, lives, after: index + 1, what)
                counts.images += 1
            }
        }
        return counts
    }

    private func check(
        _ known: Life.Known?, _ lives: TracedLives, after events: Int, _ what: String
    ) throws {
        let known = try #require(known, "\(what)")
        let possible = lives.chronicle.possible(after: events)
        let isPossible = possible.contains { $0.known == known }
        try #require(
            isPossible,
            "\(what): \(known) is none of \(possible.map(\.known))")
    }

    /// Opens what the cut left, goes on, and opens it again.
    private func open(
        _ directory: TemporaryDirectory, _ image: [String: [UInt8]], _ deeper: Bool,
        _ counts: inout Counts, _ generator: inout SeededGenerator, _ what: String
    ) throws -> Life.Known? {
        do {
            let disk = try TracedDisk(directory)
            var cut = PowerCut(disk, image)
            let life = try disk.trace { try Life(directory) }
            let known = life.known
            try life.append(9)
            try life.settleAll()
            try life.sync()
            try life.append(9)
            try life.sync()
            let again = try Life(directory)
            try #require(again.known == life.known, "\(what): going on")
            guard deeper else { return known }
            // The power is cut again while it recovers.
            for event in disk.events {
                cut.happens(event)
                for reaching in PowerCut.Reaching.allCases {
                    try directory.restore(cut.image(reaching, &generator))
                    let again = try Life(directory)
                    try #require(again.known == known, "\(what): cut while recovering")
                    counts.whileRecovering += 1
                }
            }
            return known
        } catch let error as StoreError {
            Issue.record("\(what): \(error)")
            return nil
        }
    }

    @Test("A segment that was used before is no trouble when the power is cut as it is begun again")
    func recycled() throws {
        let source = try TemporaryDirectory()
        let life = try Life(source)
        // The log goes over two segments of the largest size; the first of them becomes the spare.
        while try !source.names().contains("spare") || life.mailbox.readable.segment < 9 {
            try life.append(60_000)
            try life.settleAll(state: "state \(life.mailbox.appended)")
            try life.sync()
        }
        while life.mailbox.readable.offset < FixedLimits.lastSegmentBytes - 70_000 {
            try life.append(60_000)
            try life.settleAll()
            try life.flush()
        }
        try life.sync()
        let segment = life.mailbox.readable.segment
        let told = life.known

        let files = try source.contents()
        let disk = try TracedDisk(source)
        try disk.trace { () throws(StoreError) in
            for count in [60_000, 50_000, 100] {
                try life.append(count)
                try life.flush()
            }
            try life.settleAll()
            try life.sync()
        }
        #expect(life.mailbox.readable.segment == segment + 1)

        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(state: 5)
        var cut = PowerCut(disk, files)
        var images = 0
        for event in disk.events {
            cut.happens(event)
            for reaching in PowerCut.Reaching.allCases {
                try directory.restore(cut.image(reaching, &generator))
                let again = try Life(directory)
                #expect(again.known.appended >= told.appended)
                #expect(again.known.standing.state == told.standing.state)
                try again.append(5)
                try again.settleAll()
                try again.sync()
                let isSame = try Life(directory).known == again.known
                #expect(isSame)
                images += 1
            }
        }
        print("power cuts while a used segment is begun: \(images)")
    }

    @Test("The power is cut as a confirmed release lets segments go: none is missed")
    func confirmed() throws {
        let source = try TemporaryDirectory()
        let life = try Life(source)
        try life.switchTo("1")
        try life.switchTo("2")
        while life.mailbox.readable.segment < 4 {
            try life.append([UInt8](repeating: 1, count: 60_000))
            try life.settleAll(state: "state \(life.mailbox.appended)")
            try life.flush()
            life.keepHouse()
        }
        try life.sync()
        let files = try source.contents()
        let told = life.known
        let disk = try TracedDisk(source)
        try disk.trace { () throws(StoreError) in
            try life.append(5)
            try life.confirm()
            try life.flush()
            try life.settleAll()
            try life.sync()
            try life.sync()
        }
        #expect(try source.log().segments.map(\.ordinal) == [4])

        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(state: 8)
        var cut = PowerCut(disk, files)
        var (images, provisional) = (0, 0)
        for event in disk.events {
            cut.happens(event)
            for reaching in PowerCut.Reaching.allCases {
                try directory.restore(cut.image(reaching, &generator))
                let again = try Life(directory)
                #expect(again.known.appended >= told.appended)
                if again.known.standing.fallback != nil {
                    provisional += 1
                    #expect(try again.message(1)?.count == 60_000)
                }
                images += 1
            }
        }
        #expect(provisional > 0 && provisional < images)
        print("power cuts while segments go after a confirmation: \(images)")
    }

    @Test(
        "A sync that fails: nothing of it is taken for durable later",
        arguments: Thoroughness.isFull ? 1...4 : 1...1)
    func failedSync(seed: Int) throws {
        let all = try TracedLives(seed: UInt64(seed))
        _ = all.live(steps: 40, kills: 1)
        var counts = Counts()
        let step = Thoroughness.isFull ? 3 : 11
        for number in stride(from: seed % 3, to: all.disk.syncCount, by: step) {
            let lives = try TracedLives(seed: UInt64(seed))
            lives.disk.failure = .sync(number)
            guard lives.live(steps: 40, kills: 1) else { continue }
            try lives.liveOn()
            let last = try last(lives, seed, "sync \(number) failed")
            counts.events += last.events
            counts.images += last.images
        }
        print("failed syncs, seed \(seed): \(counts)")
    }

    /// Cuts the power in the last life only.
    private func last(_ lives: TracedLives, _ seed: Int, _ what: String) throws -> Counts {
        let directory = try TemporaryDirectory()
        var generator = SeededGenerator(state: UInt64(seed))
        var disk = PowerCut(try TracedDisk(directory), [:])
        var counts = Counts()
        let failed = lives.disk.events.lastIndex {
            if case .failedSync = $0 { true } else { false }
        }
        for (index, event) in lives.disk.events.enumerated() {
            disk.happens(event)
            guard index >= failed ?? 0 else { continue }
            counts.events += 1
            for reaching in PowerCut.Reaching.allCases {
                let image = disk.image(reaching, &generator)
                try directory.restore(image)
                let what = "seed \(seed), \(what), event \(index), \(reaching)"
                let known = try open(directory, image, false, &counts, &generator, what)
                try check(known, lives, after: index + 1, what)
                counts.images += 1
            }
        }
        return counts
    }

    @Test("A write that fails: the mailbox is opened again with all that was acknowledged")
    func failedWrite() throws {
        var failures = 0
        for seed in 1...(Thoroughness.isFull ? 3 : 1) as ClosedRange<UInt64> {
            let all = try TracedLives(seed: seed)
            _ = all.live(steps: 40, kills: 1)
            for number in 0..<all.disk.writeCount {
                let lives = try TracedLives(seed: seed)
                lives.disk.failure = .write(number)
                guard lives.live(steps: 40, kills: 1) else { continue }
                failures += 1
                try lives.liveOn()
            }
        }
        print("failed writes: \(failures)")
    }
}
