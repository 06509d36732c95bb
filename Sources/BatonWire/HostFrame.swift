// The channel between batond and a host: what is said on it, as bytes. Used in both processes.
//
// Each frame is one message of a SEQPACKET socket: a type byte, then fields; integers are
// little-endian, texts are a 16-bit length and UTF-8. Descriptors travel beside the bytes.

import BatonCore

/// From batond to a host.
package enum HostCommand: Equatable, Sendable {
    /// Take the state in the memfd sent with it (none if `stateBytes` is `nil`); it may become
    /// `stateLimit` bytes long. `stateVersion`: its format, as who made it declared it, or 0.
    case start(
        stateBytes: UInt32?, fromVersion: String, stateLimit: UInt32, stateVersion: UInt32,
        downgrade: Bool)
    /// A segment of the log, its descriptor sent with it. `previousEnd`: where the segment before
    /// it ends.
    case segment(ordinal: UInt32, byteCount: UInt32, previousEnd: UInt32)
    /// Handle messages from `sequence` on; `position` is at or before it. `dead` are passed over.
    /// Through `carefulThrough` each message's outcome is published before the next is begun: one of
    /// them has killed a host, and which one must be plain.
    case run(position: LogPosition, sequence: UInt64, carefulThrough: UInt64, dead: [UInt64])
    /// Handle the messages from `sequence` through `through` (again), then wait, as if told to
    /// suspend by `generation`. `position` is at or before `sequence`, in a segment that the host
    /// has or is sent before.
    case replay(
        position: LogPosition, sequence: UInt64, through: UInt64, generation: UInt32,
        dead: [UInt64])
    /// Go on where you are; with what is left of a replay, if it was suspended in one.
    /// `carefulThrough` as in `run`.
    case proceed(carefulThrough: UInt64)
    /// Finish the message in hand, then wait.
    case suspend(generation: UInt32)
    /// End in order.
    case stop
}

/// From a host to batond.
package enum HostReport: Equatable, Sendable {
    /// `stateVersion`: the format that it writes, or 0. It takes those from `takesFrom` through
    /// `takesTo`; both are 0 if that is not declared.
    case loaded(
        name: String, version: String, abi: UInt32, sandbox: UInt8, hasState: Bool,
        stateVersion: UInt32, takesFrom: UInt32, takesTo: UInt32)
    case started
    case refused(reason: String)
    case suspended(generation: UInt32)
    case log(level: UInt8, text: String)
    /// A reply or a state that the ring's next `large…` entry means, in the memfd sent with it.
    case large(byteCount: UInt32)
}

extension HostCommand {
    package func encoded() -> [UInt8] {
        var bytes = FrameBytes()
        switch self {
        case .start(
            let stateBytes, let fromVersion, let stateLimit, let stateVersion, let downgrade):
            bytes.put(UInt8(1))
            bytes.put(UInt8(stateBytes == nil ? 0 : 1))
            bytes.put(stateBytes ?? 0)
            bytes.put(fromVersion, atMost: FixedLimits.versionBytes)
            bytes.put(stateLimit)
            bytes.put(stateVersion)
            bytes.put(UInt8(downgrade ? 1 : 0))
        case .segment(let ordinal, let byteCount, let previousEnd):
            bytes.put(UInt8(2))
            bytes.put(ordinal)
            bytes.put(byteCount)
            bytes.put(previousEnd)
        case .run(let position, let sequence, let carefulThrough, let dead):
            bytes.put(UInt8(3))
            bytes.put(position.word)
            bytes.put(sequence)
            bytes.put(carefulThrough)
            bytes.put(dead)
        case .proceed(let carefulThrough):
            bytes.put(UInt8(4))
            bytes.put(carefulThrough)
        case .suspend(let generation):
            bytes.put(UInt8(5))
            bytes.put(generation)
        case .stop: bytes.put(UInt8(6))
        case .replay(let position, let sequence, let through, let generation, let dead):
            bytes.put(UInt8(7))
            bytes.put(position.word)
            bytes.put(sequence)
            bytes.put(through)
            bytes.put(generation)
            bytes.put(dead)
        }
        return bytes.bytes
    }

    /// `nil` for anything that is not exactly one command.
    package init?(_ bytes: some Sequence<UInt8>) {
        var reader = FrameReader(bytes)
        switch reader.byte() {
        case 1:
            guard let has = reader.byte(), let count = reader.integer(UInt32.self),
                let version = reader.text(), version.utf8.count <= FixedLimits.versionBytes,
                let limit = reader.integer(UInt32.self),
                let format = reader.integer(UInt32.self), let downgrade = reader.byte()
            else { return nil }
            self = .start(
                stateBytes: has == 0 ? nil : count, fromVersion: version, stateLimit: limit,
                stateVersion: format, downgrade: downgrade != 0)
        case 2:
            guard let ordinal = reader.integer(UInt32.self),
                let count = reader.integer(UInt32.self), let end = reader.integer(UInt32.self)
            else { return nil }
            self = .segment(ordinal: ordinal, byteCount: count, previousEnd: end)
        case 3:
            guard let word = reader.integer(UInt64.self),
                let sequence = reader.integer(UInt64.self),
                let careful = reader.integer(UInt64.self), let dead = reader.sequences()
            else { return nil }
            self = .run(
                position: LogPosition(word: word), sequence: sequence, carefulThrough: careful,
                dead: dead)
        case 4:
            guard let careful = reader.integer(UInt64.self) else { return nil }
            self = .proceed(carefulThrough: careful)
        case 5:
            guard let generation = reader.integer(UInt32.self) else { return nil }
            self = .suspend(generation: generation)
        case 6: self = .stop
        case 7:
            guard let word = reader.integer(UInt64.self),
                let sequence = reader.integer(UInt64.self),
                let through = reader.integer(UInt64.self),
                let generation = reader.integer(UInt32.self), let dead = reader.sequences()
            else { return nil }
            self = .replay(
                position: LogPosition(word: word), sequence: sequence, through: through,
                generation: generation, dead: dead)
        default: return nil
        }
        guard reader.isAtEnd else { return nil }
    }
}

extension HostReport {
    package func encoded() -> [UInt8] {
        var bytes = FrameBytes()
        switch self {
        case .loaded(
            let name, let version, let abi, let sandbox, let hasState, let stateVersion,
            let takesFrom, let takesTo):
            bytes.put(UInt8(1))
            bytes.put(name, atMost: FixedLimits.versionBytes)
            bytes.put(version, atMost: FixedLimits.versionBytes)
            bytes.put(abi)
            bytes.put(sandbox)
            bytes.put(UInt8(hasState ? 1 : 0))
            bytes.put(stateVersion)
            bytes.put(takesFrom)
            bytes.put(takesTo)
        case .started: bytes.put(UInt8(2))
        case .refused(let reason):
            bytes.put(UInt8(3))
            bytes.put(reason, atMost: FixedLimits.reasonBytes)
        case .suspended(let generation):
            bytes.put(UInt8(4))
            bytes.put(generation)
        case .log(let level, let text):
            bytes.put(UInt8(5))
            bytes.put(level)
            bytes.put(text, atMost: FixedLimits.logLineBytes)
        case .large(let byteCount):
            bytes.put(UInt8(6))
            bytes.put(byteCount)
        }
        return bytes.bytes
    }

    /// `nil` for anything that is not exactly one report: a host is not trusted.
    package init?(_ bytes: some Sequence<UInt8>) {
        var reader = FrameReader(bytes)
        switch reader.byte() {
        case 1:
            guard let name = reader.text(), let version = reader.text(),
                let abi = reader.integer(UInt32.self), let sandbox = reader.byte(),
                let hasState = reader.byte(), let format = reader.integer(UInt32.self),
                let from = reader.integer(UInt32.self), let to = reader.integer(UInt32.self)
            else { return nil }
            self = .loaded(
                name: name, version: version, abi: abi, sandbox: sandbox, hasState: hasState != 0,
                stateVersion: format, takesFrom: from, takesTo: to)
        case 2: self = .started
        case 3:
            guard let reason = reader.text() else { return nil }
            self = .refused(reason: reason)
        case 4:
            guard let generation = reader.integer(UInt32.self) else { return nil }
            self = .suspended(generation: generation)
        case 5:
            guard let level = reader.byte(), let text = reader.text() else { return nil }
            self = .log(level: level, text: text)
        case 6:
            guard let byteCount = reader.integer(UInt32.self) else { return nil }
            self = .large(byteCount: byteCount)
        default: return nil
        }
        guard reader.isAtEnd else { return nil }
    }
}

private struct FrameBytes {
    var bytes: [UInt8] = []

    mutating func put<Integer: FixedWidthInteger>(_ value: Integer) {
        for shift in stride(from: 0, to: Integer.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> Integer(shift)))
        }
    }

    /// In ascending order; those in a row are said together.
    mutating func put(_ sequences: [UInt64]) {
        var runs: [(first: UInt64, count: UInt32)] = []
        for sequence in sequences {
            if let last = runs.last, last.first &+ UInt64(last.count) == sequence {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((sequence, 1))
            }
        }
        put(UInt32(runs.count))
        for run in runs {
            put(run.first)
            put(run.count)
        }
    }

    /// Longer texts are cut.
    mutating func put(_ text: String, atMost limit: Int) {
        let utf8 = text.utf8.prefix(limit)
        put(UInt16(utf8.count))
        bytes.append(contentsOf: utf8)
    }
}

private struct FrameReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { rest = Array(bytes)[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8? { rest.popFirst() }

    mutating func integer<Integer: FixedWidthInteger & UnsignedInteger>(_: Integer.Type)
        -> Integer?
    {
        let count = Integer.bitWidth / 8
        guard rest.count >= count else { return nil }
        var value: Integer = 0
        for byte in rest.prefix(count).reversed() { value = value << 8 | Integer(byte) }
        rest = rest.dropFirst(count)
        return value
    }

    mutating func sequences() -> [UInt64]? {
        guard let runCount = integer(UInt32.self), Int(runCount) <= FixedLimits.frameBytes / 12
        else { return nil }
        var sequences: [UInt64] = []
        for _ in 0..<runCount {
            guard let first = integer(UInt64.self), let count = integer(UInt32.self), count > 0,
                Int(count) <= FixedLimits.passedMessages * 2 - sequences.count,
                first <= .max - UInt64(count - 1)
            else { return nil }
            sequences.append(contentsOf: first...first + UInt64(count - 1))
        }
        return sequences
    }

    mutating func text() -> String? {
        guard let count = integer(UInt16.self), rest.count >= Int(count) else { return nil }
        defer { rest = rest.dropFirst(Int(count)) }
        return String(decoding: rest.prefix(Int(count)), as: UTF8.self)
    }
}
