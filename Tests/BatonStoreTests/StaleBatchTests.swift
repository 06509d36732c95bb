// What a life that was cut off left on the disk is not taken for part of the next one, even where
// numbers and places agree.

import BatonCore
import BatonStore
import Testing

@Suite("What an earlier life left")
struct StaleBatchTests {
    /// Two lives from the same beginning. The first wrote two batches more, which a power cut took;
    /// the second wrote its epoch and one batch, of the same numbers and sizes at the same places.
    private struct TwoLives {
        let directory = try? TemporaryDirectory()
        let name = "0000000001.segment"
        var first: [UInt8] = []
        var second: [UInt8] = []
        /// Of the batch after the epoch.
        var range = 0..<0
        var beforeIt: Life.Known

        init() throws {
            let directory = try #require(directory)
            let life = try Life(directory)
            try life.append(10)
            try life.sync()
            let end = Int(life.mailbox.durable.offset)
            beforeIt = life.known
            try life.append(0)
            try life.flush()
            try life.append(24)
            try life.flush()
            first = try directory.read(name)
            var cut = first
            cut.zero(end..<cut.count)
            try directory.write(cut, to: name)
            let again = try Life(directory)
            try again.append(24)
            try again.flush()
            second = try directory.read(name)
            let logs = try [first, second].map { try LogImage([name: $0]) }
            let last = try logs.map { try #require($0.batches.last) }
            try #require(last[0].number == last[1].number && last[0].range == last[1].range)
            range = last[1].range
        }

        /// What is known of the second life's file with a part of the first one's in it.
        func known(with part: Range<Int>) throws -> Life.Known {
            let directory = try #require(directory)
            var mixed = second
            mixed.replaceSubrange(part, with: first[part])
            try directory.write(mixed, to: name)
            return try Life(directory).known
        }
    }

    @Test("A whole batch of it is torn")
    func batch() throws {
        let lives = try TwoLives()
        #expect(try lives.known(with: lives.range) == lives.beforeIt)
    }

    @Test("A record of it within a new batch makes that one torn")
    func record() throws {
        let lives = try TwoLives()
        let record = lives.range.lowerBound + 64..<lives.range.upperBound
        #expect(try lives.known(with: record) == lives.beforeIt)
    }

    @Test("A segment of it does not continue what has taken the place of the end it continued")
    func segment() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.append(100_000)
        try life.sync()
        let end = Int(life.mailbox.durable.offset)
        let known = life.known
        // A batch of the size of an epoch's, then one that needs another segment.
        try life.append(0)
        try life.flush()
        try life.append(200_000)
        try life.flush()
        let (name, next) = ("0000000001.segment", "0000000002.segment")
        let stale = try directory.read(next)
        var cut = try directory.read(name)
        cut.zero(end..<cut.count)
        try directory.restore([name: cut])
        #expect(try Life(directory).known == known)
        try directory.write(stale, to: next)
        #expect(try directory.log().segments.count == 1)
        #expect(try Life(directory).known == known)
        #expect(try directory.names() == [name])
    }
}
