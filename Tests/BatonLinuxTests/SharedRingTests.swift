// The ring of outcomes: what an honest host writes comes out as it was, and what a hostile one
// writes is found out, never followed.

import BatonCore
import BatonLinux
import Glibc
import Testing

@Suite("The ring of outcomes")
struct SharedRingTests {
    private func makeRing() throws(SystemError) -> SharedRing {
        let memory = try Descriptor.memory("test-ring", size: SharedRing.byteCount)
        return try SharedRing(memory.number)
    }

    /// What a host could write for the message `sequence`; `generator` picks how long it is.
    private func payload(
        _ sequence: UInt64, atMost limit: Int, _ generator: inout SeededGenerator
    ) -> [UInt8] {
        let count = Int.random(in: 0...limit, using: &generator)
        return (0..<count).map { UInt8(truncatingIfNeeded: Int(sequence) &+ $0) }
    }

    private struct Written {
        var kind: OutcomeKind
        var sequence: UInt64
        var payload: [UInt8]
    }

    /// Takes the next entry, by the short way for replies or the long one; whether it is `written`.
    private static func take(
        _ written: Written, from reader: inout SharedRing.Reader, _ ring: borrowing SharedRing
    ) -> Bool {
        if unsafe reader.nextReply(written.sequence + 1, ring) != nil { return false }
        if written.sequence % 3 != 0, let reply = unsafe reader.nextReply(written.sequence, ring) {
            return unsafe written.kind == .reply && Array(reply) == written.payload
        }
        guard case .entry(let kind, let sequence, let payload) = reader.next(ring) else {
            return false
        }
        return unsafe kind == written.kind && sequence == written.sequence
            && Array(payload) == written.payload
    }

    @Test(
        "Entries of every length come out in order, over many laps",
        arguments: [7, 40, 1000, SharedRing.entryBytes])
    func laps(limit: Int) throws {
        let ring = try makeRing()
        var writer = SharedRing.Writer()
        var reader = SharedRing.Reader()
        var generator = SeededGenerator(state: UInt64(limit))
        var expected: [Written] = []
        var written: UInt64 = 0
        var bytes = 0
        while bytes < 20 * FixedLimits.ringBytes {
            for _ in 0..<Int.random(in: 1...400, using: &generator) {
                guard writer.hasRoom(ring) else { break }
                written += 1
                let kind: OutcomeKind = written % 5 == 0 ? .state : .reply
                let payload = payload(written, atMost: limit, &generator)
                unsafe payload.withUnsafeBytes {
                    unsafe writer.write(kind, sequence: written, $0, to: ring)
                }
                expected.append(Written(kind: kind, sequence: written, payload: payload))
                bytes += payload.count + 16
            }
            _ = writer.publish(ring)
            reader.begin(ring)
            let isBehind = reader.isBehind(ring)
            #expect(isBehind)
            for each in expected {
                let isRight = Self.take(each, from: &reader, ring)
                try #require(isRight, "entry \(each.sequence) is not what was written")
            }
            guard case .empty = reader.next(ring) else {
                Issue.record("more came out than was written")
                return
            }
            expected = []
            _ = reader.finish(ring)
            let isStillBehind = reader.isBehind(ring)
            #expect(!isStillBehind)
        }
    }

    @Test("Wherever it stands, an outcome and a state of the largest size fit when it says so")
    func room() throws {
        let largest = [UInt8](repeating: 7, count: SharedRing.entryBytes)
        for filler in stride(from: 0, to: 200, by: 8) {
            let ring = try makeRing()
            var writer = SharedRing.Writer()
            var reader = SharedRing.Reader()
            var sequence: UInt64 = 0
            for _ in 0..<40 {
                unsafe largest.withUnsafeBytes { largest in
                    let small = unsafe UnsafeRawBufferPointer(rebasing: largest[..<filler])
                    unsafe writer.write(.reply, sequence: sequence, small, to: ring)
                    while writer.hasRoom(ring) {
                        unsafe writer.write(.reply, sequence: sequence, largest, to: ring)
                        unsafe writer.write(.state, sequence: sequence, largest, to: ring)
                        sequence += 1
                    }
                }
                _ = writer.publish(ring)
                reader.begin(ring)
                var count = 0
                while case .entry = reader.next(ring) { count += 1 }
                try #require(count > 1)
                let isBehind = reader.isBehind(ring)
                try #require(!isBehind, "what was written does not all come out")
                _ = reader.finish(ring)
            }
        }
    }

    @Test("What comes in memory of its own must be taken before there is room for more")
    func large() throws {
        let ring = try makeRing()
        var writer = SharedRing.Writer()
        var reader = SharedRing.Reader()
        let nothing = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
        for sequence in 1...10 as ClosedRange<UInt64> {
            let hadRoom = writer.hasRoom(ring)
            #expect(hadRoom)
            unsafe writer.write(.largeReply, sequence: sequence, nothing, to: ring)
            _ = writer.publish(ring)
            let hasRoom = writer.hasRoom(ring)
            #expect(!hasRoom)
            reader.begin(ring)
            guard case .entry(.largeReply, sequence, _) = reader.next(ring) else {
                Issue.record("entry \(sequence) is missing")
                return
            }
            _ = reader.finish(ring)
        }
    }

    @Test("A flag that is up is taken down once, by whoever publishes")
    func flags() throws {
        let ring = try makeRing()
        let isUnwanted = ring.publish(.published, 1, wakes: .hostSleeps)
        #expect(!isUnwanted)
        ring.raise(.hostSleeps)
        let wakes = ring.publish(.published, 2, wakes: .hostSleeps)
        let wakesAgain = ring.publish(.published, 3, wakes: .hostSleeps)
        #expect(wakes)
        #expect(!wakesAgain)
        let published = (ring.peek(.published), ring.load(.published))
        #expect(published == (3, 3))
    }

    @Test("A host that says it has written more than the ring holds is not read as if it had")
    func writtenTooMuch() throws {
        let ring = try makeRing()
        var writer = SharedRing.Writer()
        unsafe writer.write(
            .reply, sequence: 1, UnsafeRawBufferPointer(start: nil, count: 0), to: ring)
        _ = writer.publish(ring)
        ring.store(.written, UInt64(FixedLimits.ringBytes) + 16)
        var reader = SharedRing.Reader()
        reader.begin(ring)
        let reply = unsafe reader.nextReply(1, ring)
        #expect(unsafe reply == nil)
        guard case .violation = reader.next(ring) else {
            Issue.record("no violation")
            return
        }
    }

    @Test("Garbage in the ring is empty, a bounded entry, or a violation, never a trap")
    func garbage() throws {
        let memory = try Descriptor.memory("test-ring", size: SharedRing.byteCount)
        let ring = try SharedRing(memory.number)
        var generator = SeededGenerator(state: 1)
        var counts = (empty: 0, entry: 0, violation: 0)
        var bytes = [UInt8](repeating: 0, count: FixedLimits.ringBytes)
        for round in 0..<400 {
            Self.fill(&bytes, round, &generator)
            try unsafe bytes.withUnsafeBytes { try unsafe memory.write($0, at: 4096) }
            var reader = SharedRing.Reader()
            for _ in 0..<50 {
                ring.store(.written, Self.counter(ring.peek(.taken), &generator))
                reader.begin(ring)
                walking: for step in 0... {
                    #expect(step <= FixedLimits.ringBytes / 16, "it does not end")
                    if let reply = unsafe reader.nextReply(UInt64(step), ring) {
                        counts.entry += 1
                        _ = unsafe reply.reduce(0, &+)
                    }
                    switch reader.next(ring) {
                    case .empty:
                        counts.empty += 1
                        break walking
                    case .entry(_, _, let payload):
                        counts.entry += 1
                        // Every byte of it can be read.
                        _ = unsafe payload.reduce(0, &+)
                    case .violation:
                        counts.violation += 1
                        break walking
                    }
                }
                _ = reader.finish(ring)
            }
        }
        print(
            "ring of garbage: \(counts.entry) entries, \(counts.empty) times empty, "
                + "\(counts.violation) violations")
        #expect(counts.entry > 0 && counts.empty > 0 && counts.violation > 0)
    }

    /// From noise to what is nearly an honest ring.
    private static func fill(
        _ bytes: inout [UInt8], _ round: Int, _ generator: inout SeededGenerator
    ) {
        var offset = 0
        while offset < bytes.count {
            let length: UInt32
            let kind: UInt32
            switch round % 4 {
            case 0: (length, kind) = (.random(in: 0 ... .max, using: &generator), 2)
            case 1:
                length = .random(in: 0...64, using: &generator)
                kind = .random(in: 0...9, using: &generator)
            case 2: (length, kind) = (.random(in: 0...40, using: &generator), 2)
            default:
                length = .random(in: 0 ... .max, using: &generator)
                kind = .random(in: 0 ... .max, using: &generator)
            }
            unsafe bytes.withUnsafeMutableBytes { bytes in
                unsafe bytes.storeBytes(of: length, toByteOffset: offset, as: UInt32.self)
                unsafe bytes.storeBytes(of: kind, toByteOffset: offset + 4, as: UInt32.self)
            }
            offset += round % 4 == 2 ? 16 + (Int(length) + 15) & ~15 : 8
            if bytes.count - offset < 16 { break }
        }
    }

    /// What a hostile host puts where it counts the bytes it has written.
    private static func counter(_ taken: UInt64, _ generator: inout SeededGenerator) -> UInt64 {
        switch UInt8.random(in: 0...5, using: &generator) {
        case 0: .random(in: 0 ... .max, using: &generator)
        case 1: taken
        case 2: taken &- .random(in: 1...1000, using: &generator)
        case 3: taken &+ .random(in: 0...64, using: &generator)
        default: taken &+ 16 &* .random(in: 1...16384, using: &generator)
        }
    }
}

/// A small deterministic generator (SplitMix64), so that a failure can be repeated by its seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
