// What a log means, said a second time: the standing that follows from its records.

import BatonCore
import BatonStore

extension LogImage {
    /// What is known after the first `count` batches. Every base record on the way must say what
    /// those before it say; that the log begins with.
    func known(afterBatches count: Int) throws(Fault) -> Life.Known {
        var replay = Replay(next: segments.first?.firstSequence ?? 1)
        for (index, record) in batches.prefix(count).flatMap(\.records).enumerated() {
            try replay.apply(record, isFirst: index == 0)
        }
        return Life.Known(
            appended: SequenceNumber(replay.next - 1), standing: replay.standing)
    }
}

private struct Replay {
    var next: UInt64
    var standing = Standing()

    mutating func apply(_ record: LogImage.Record, isFirst: Bool) throws(LogImage.Fault) {
        var fields = Fields(record.payload)
        switch record.kind {
        case .message:
            guard record.sequence == next else {
                throw LogImage.Fault("message \(record.sequence) where \(next) is due")
            }
            next += 1
        case .settle:
            standing.settled = SequenceNumber(record.sequence)
            if record.flags & 1 == 1 {
                standing.state = Standing.State(
                    bytes: record.payload, version: standing.release?.version ?? "")
            }
            standing.attempts = standing.attempts.filter { $0.key > record.sequence }
            standing.dead = standing.dead.filter { $0 > record.sequence }
        case .switch:
            if standing.release != nil { standing.upgrades += 1 }
            standing.release = fields.release()
            standing.switchedAfter = SequenceNumber(record.sequence)
        case .attempt: standing.attempts[record.sequence] = UInt32(fields.integer(4))
        case .deadLetter:
            if standing.dead.insert(record.sequence).inserted { standing.deadLetters += 1 }
        case .base:
            let base = fields.standing()
            guard isFirst || base == standing else {
                throw LogImage.Fault("a base record says something else: \(base), \(standing)")
            }
            guard record.sequence == base.settled.value else {
                throw LogImage.Fault("a base record's number is not the cursor")
            }
            standing = base
        case .epoch: break
        case .batch, .footer: throw LogImage.Fault("a \(record.kind) within a batch")
        }
    }
}

/// Reads a payload's fields.
private struct Fields {
    private var rest: ArraySlice<UInt8>

    init(_ payload: [UInt8]) { rest = payload[...] }

    mutating func integer(_ count: Int) -> UInt64 {
        raw(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    mutating func raw(_ count: Int) -> [UInt8] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }
    mutating func short() -> String { String(decoding: raw(Int(integer(1))), as: UTF8.self) }

    mutating func release() -> Standing.Release? {
        guard let digest = ImageDigest(raw(32)) else { return nil }
        return Standing.Release(digest: digest, version: short())
    }

    mutating func standing() -> Standing {
        var standing = Standing()
        standing.settled = SequenceNumber(integer(8))
        standing.switchedAfter = SequenceNumber(integer(8))
        standing.upgrades = integer(8)
        standing.deadLetters = integer(8)
        let has = integer(1)
        if has & 1 == 1 { standing.release = release() }
        if has & 2 == 2 {
            let version = short()
            standing.state = Standing.State(bytes: raw(Int(integer(4))), version: version)
        }
        for _ in 0..<integer(4) {
            let sequence = integer(8)
            standing.attempts[sequence] = UInt32(integer(4))
        }
        for _ in 0..<integer(4) { standing.dead.insert(integer(8)) }
        return standing
    }
}
