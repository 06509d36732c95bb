// Files that are missing, misplaced, foreign, or of another time.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("A mailbox whose files are not as they were")
struct DamageTests {
    /// Three segments: nothing settled but the first messages, everything synced but the last batch.
    private func threeSegments() throws -> DamagedLog {
        try DamagedLog { life in
            try life.switchTo("1")
            while life.mailbox.readable.segment < 3 {
                try life.append(6000)
                try life.flush()
                if life.mailbox.appended.value % 10 == 0 { try life.sync() }
            }
            try life.settle(3, state: "three")
            try life.append(100)
            try life.sync()
            try life.append(5)
            try life.flush()
        }
    }

    /// A segment's header with other fields, and a good checksum.
    private func header(_ page: inout [UInt8], _ change: (inout [UInt8]) -> Void) {
        change(&page)
        let crc = LogImage.crc(page[..<76])
        for byte in 0..<4 { page[76 + byte] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(byte))) }
    }

    @Test("A record or a batch that stands elsewhere is not valid there")
    func misplaced() throws {
        let log = try DamagedLog { life in
            for _ in 0..<6 {
                try life.append(24)
                try life.sync()
            }
            try life.append(24)
            try life.flush()
        }
        let segment = try #require(log.log.segments.first)
        // All are of one size: only the place tells them apart.
        let batches = segment.batches.filter { $0.records.contains { $0.kind == .message } }
        #expect(Set(batches.map(\.range.count)).count == 1)
        for from in batches {
            for to in batches where from != to {
                try log.tryOut("batch \(from.number) over \(to.number)") { files in
                    let bytes = files[segment.name]?[from.range] ?? []
                    files[segment.name]?.replaceSubrange(to.range, with: bytes)
                }
                let record = from.records[0].range
                try log.tryOut("the record of \(from.number) in \(to.number)") { files in
                    let bytes = files[segment.name]?[record] ?? []
                    files[segment.name]?.replaceSubrange(to.records[0].range, with: bytes)
                }
            }
            // A copy behind the end is no batch, and no proof of anything.
            let copy = segment.end..<segment.end + from.range.count
            try log.tryOut("batch \(from.number) behind the end", expected: .whole) { files in
                let bytes = files[segment.name]?[from.range] ?? []
                files[segment.name]?.replaceSubrange(copy, with: bytes)
            }
        }
        #expect(log.counts.corrupt > 0 && log.counts.whole > 0)
        print("misplaced blocks: \(log.counts)")
    }

    @Test("A block of another segment at the same offset is not valid")
    func recycledBlock() throws {
        let log = try threeSegments()
        let segments = log.log.segments
        for (from, to) in [(0, 1), (1, 0), (1, 2), (0, 2)] {
            let count = min(segments[from].end, segments[to].end)
            for start in [4096, 8192] where start + 4096 <= count {
                try log.tryOut("page of segment \(from) in \(to)") { files in
                    let bytes = files[segments[from].name]?[start..<start + 4096] ?? []
                    files[segments[to].name]?.replaceSubrange(start..<start + 4096, with: bytes)
                }
            }
        }
        #expect(log.counts.whole == 0)
    }

    @Test("A page that became zero is damage if it was durable, wherever it lies")
    func zeroedPages() throws {
        let log = try threeSegments()
        for segment in log.log.segments {
            for page in 0...segment.end / 4096 where page % 5 < 2 || page > segment.end / 4096 - 3 {
                try log.tryOut("page \(page) of \(segment.name)") { files in
                    files[segment.name]?.zero(page * 4096..<page * 4096 + 4096)
                }
            }
        }
        #expect(log.counts.corrupt > 0)
        print("zeroed pages: \(log.counts)")
    }

    @Test("A missing segment is told, whichever it is")
    func missing() throws {
        let log = try threeSegments()
        for segment in log.log.segments {
            try log.tryOut(
                "\(segment.name) is missing",
                expected: .corrupt(
                    place: [
                        "0000000002.segment", "0000000002.segment", "0000000002.segment offset",
                    ][
                        Int(segment.ordinal) - 1])
            ) { $0[segment.name] = nil }
        }
        let names = log.log.segments.map(\.name)
        try log.tryOut("the first two", expected: .corrupt(place: names[2])) {
            $0[names[0]] = nil
            $0[names[1]] = nil
        }
        try log.tryOut("the last two", expected: .corrupt(place: "\(names[0]) offset")) {
            $0[names[1]] = nil
            $0[names[2]] = nil
        }
    }

    @Test("Where there is a spare there was a log: no new mailbox is begun in its place")
    func allMissing() throws {
        let log = try DamagedLog { life in
            while !life.mailbox.needsSync || life.mailbox.readable.offset < 140_000 {
                try life.append(5000)
                try life.flush()
                life.keepHouse()
            }
        }
        #expect(log.files["spare"] != nil)
        try log.tryOut("every segment is missing", expected: .corrupt(place: "0000000001.segment"))
        {
            $0 = $0.filter { $0.key == "spare" }
        }
    }

    @Test("A segment of another mailbox is told, and left alone")
    func foreign() throws {
        let log = try threeSegments()
        let other = try threeSegments()
        for segment in log.log.segments {
            try log.tryOut(
                "\(segment.name) is foreign",
                expected: .corrupt(place: segment.ordinal == 1 ? "000000000" : segment.name)
            ) { $0[segment.name] = other.files[segment.name] }
        }
        let next = "0000000004.segment"
        try log.tryOut("a foreign one behind the last", expected: .corrupt(place: next)) {
            $0[next] = other.files["0000000002.segment"]
        }
    }

    @Test("A file whose length was changed is told")
    func length() throws {
        let log = try threeSegments()
        for segment in log.log.segments {
            for count in [0, 100, 4096, segment.end - 8, segment.byteCount - 1] {
                try log.tryOut(
                    "\(segment.name) has \(count) bytes", expected: .corrupt(place: "segment")
                ) { $0[segment.name]?.removeLast(segment.byteCount - count) }
            }
            try log.tryOut("\(segment.name) is longer", expected: .corrupt(place: segment.name)) {
                $0[segment.name]?.append(0)
            }
        }
    }

    @Test(
        "A newer format is told before anything is written, in whichever segment", arguments: 0..<3)
    func newerFormat(index: Int) throws {
        let log = try threeSegments()
        let segment = log.log.segments[index]
        for (offset, found) in [(8, 4 as UInt32), (12, 3)] {
            let directory = try TemporaryDirectory()
            var files = log.files
            files["spare.new"] = [1, 2, 3]
            if var bytes = files[segment.name] {
                header(&bytes) { $0[offset] = 4 }
                files[segment.name] = bytes
            }
            try directory.restore(files)
            let place = "\(directory.path)/\(segment.name)"
            #expect(throws: StoreError.newerFormat(found: found, known: 3, place: place)) {
                try Life(directory)
            }
            let isUnchanged = try directory.holds(files)
            #expect(isUnchanged)
        }
    }

    @Test("A compatible feature bit changes nothing")
    func compatible() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.append(5)
        try life.sync()
        let name = "0000000001.segment"
        var bytes = try directory.read(name)
        header(&bytes) { $0[16] = 0xff }
        try directory.write(bytes, to: name)
        #expect(try Life(directory).known == life.known)
    }

    @Test("Unknown files are reported and left alone; what was never finished goes")
    func unknownFiles() throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        try life.append(5)
        try life.sync()
        let strange = [
            "+000000001.segment", "0000000001.segment~", "1.segment", "notes.new", "notes.txt",
            "spare.old", "-000000001.segment", "00000000001.segment",
        ]
        for name in strange { try directory.write([7], to: name) }
        for name in ["spare.new", "0000000001.segment.new", "0000000002.segment.new"] {
            try directory.write([7], to: name)
        }
        let again = try Life(directory)
        #expect(again.known == life.known)
        #expect(again.report.unknownFiles == strange.sorted())
        #expect(try directory.names() == (strange + ["0000000001.segment"]).sorted())
        for name in strange { #expect(try directory.read(name) == [7]) }
    }

    @Test("A mailbox that is damaged changes not even what was never finished")
    func damagedAndUnfinished() throws {
        let log = try threeSegments()
        let name = log.log.segments[0].name
        try log.tryOut("with something unfinished", expected: .corrupt(place: name)) { files in
            files["spare.new"] = [1]
            files[name]?[5000] ^= 1
        }
    }
}
