// A log that a Baton of format 1 has written is read, and goes on in the present one.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("A log of format 1")
struct Format1Tests {
    /// In format 1's tests every image had this digest.
    private static let digest = ImageDigest([UInt8](repeating: 0xd1, count: 32))

    private func release(_ version: String) throws -> MailboxMachine.Release {
        MailboxMachine.Release(digest: try #require(Self.digest), version: version)
    }

    private func holding(_ files: [String: [UInt8]]) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try directory.restore(files)
        return directory
    }

    @Test("Every kind of record is read; what it lacks is as if it had never been")
    func everyKind() throws {
        let life = try Life(holding(Format1Log.kinds))
        var expected = MailboxMachine()
        expected.settled = SequenceNumber(2)
        expected.state = MailboxMachine.State(bytes: Array("two".utf8), version: "1")
        expected.tenure = .confirmed(try release("2"))
        expected.switchedAfter = SequenceNumber(2)
        expected.upgrades = 1
        expected.attempts = [3: 2, 4: 1]
        expected.dead = [3]
        expected.deadLetterCount = 1
        expected.history = [
            MailboxMachine.Past(release: try release("1"), at: 0, cause: .upgrade),
            MailboxMachine.Past(release: try release("2"), at: 0, cause: .upgrade),
        ]
        #expect(life.known == Life.Known(appended: SequenceNumber(7), standing: expected))
        // The witness that knows nothing of BatonStore says the same.
        let image = try LogImage(Format1Log.kinds)
        #expect(try image.known(afterBatches: image.batches.count) == life.known)
    }

    @Test("A base record is read")
    func base() throws {
        let life = try Life(holding(Format1Log.base))
        var expected = MailboxMachine()
        expected.settled = SequenceNumber(44)
        expected.state = MailboxMachine.State(bytes: Array("one".utf8), version: "1")
        expected.tenure = .confirmed(try release("2"))
        expected.switchedAfter = SequenceNumber(1)
        expected.upgrades = 1
        #expect(life.known == Life.Known(appended: SequenceNumber(44), standing: expected))
    }

    @Test("It goes on in a segment of the present format, once; what is there stays as it is")
    func goesOn() throws {
        for files in [Format1Log.kinds, Format1Log.base] {
            let directory = try holding(files)
            let name = try #require(files.keys.first)
            let last = try #require(try directory.log().segments.last)
            for _ in 0..<3 { _ = try Life(directory) }
            #expect(try directory.log().segments.map(\.format) == [1, 3])
            let life = try Life(directory)
            try life.append(40)
            try life.settle(life.mailbox.standing.settled.value + 1, state: "new", format: 4)
            try life.switchTo("3")
            try life.flush()
            let again = try Life(directory)
            #expect(again.known == life.known)
            #expect(again.known.standing.fallback?.release.version == "2")
            let bytes = try directory.read(name)
            #expect(bytes[..<last.end] == files[name]?[..<last.end])
            try again.confirm()
            try again.settleAll()
            try again.sync()
            #expect(try directory.log().segments.map(\.format) == [3])
            #expect(try Life(directory).known == again.known)
        }
    }

    @Test("The power may be cut at any instant while it is opened for the first time")
    func powerCut() throws {
        for files in [Format1Log.kinds, Format1Log.base] {
            let source = try holding(files)
            let disk = try TracedDisk(source)
            let known = try disk.trace { () throws(StoreError) in try Life(source).known }
            var cut = PowerCut(disk, files)
            var generator = SeededGenerator(state: 3)
            let directory = try TemporaryDirectory()
            var images = 0
            for event in disk.events {
                cut.happens(event)
                for reaching in PowerCut.Reaching.allCases {
                    try directory.restore(cut.image(reaching, &generator))
                    let life = try Life(directory)
                    try #require(life.known == known, "\(event), \(reaching)")
                    try life.append(5)
                    try life.sync()
                    try #require(try Life(directory).known == life.known)
                    images += 1
                }
            }
            print("power cuts while a log of format 1 is opened: \(images)")
        }
    }

    @Test("Every bit of it that is wrong is told, or a torn end")
    func wrongBits() throws {
        let log = try DamagedLog(files: Format1Log.kinds)
        let segment = try #require(log.log.segments.first)
        for byte in Array(0..<96) + Array(4096..<segment.end + 8) {
            for bit in 0..<8 as Range<UInt8> {
                try log.tryOut("byte \(byte) ^ \(1 << bit)") { files in
                    files[segment.name]?[byte] ^= 1 << bit
                }
            }
        }
        #expect(log.counts.torn > 0 && log.counts.corrupt > 0)
        print("one wrong bit, format 1: \(log.counts)")
    }
}
