// What the counter keeps, and how it is kept from one version to the next.
//
// The encoding, little-endian, begins with the number of its format. That number, not the version's
// label, says how to read the rest:
//
//     format 1   UInt8 1, Int64 sum
//     format 2   UInt8 2, Int64 sum, Int64 count, Int64 uncounted
//     format 3   UInt8 3, Int64 sum, Int64 count, Float64 mean
//
// A version writes its own format and reads that and every one before. A later one it refuses: it
// cannot know what it would lose. Such a refusal ends an upgrade before anything has happened.

import BatonService

struct CounterState: CustomStringConvertible {
    /// The format that this version writes.
    #if COUNTER_3
        static let format: UInt8 = 3
    #elseif COUNTER_2
        static let format: UInt8 = 2
    #else
        static let format: UInt8 = 1
    #endif

    /// Of all messages, ever.
    private(set) var sum: Int64 = 0
    /// From format 2: the messages counted. Format 1 did not count, so after a migration from it
    /// this begins at 0 and grows from then on.
    private var count: Int64 = 0
    /// In format 2: the part of the sum that came from messages never counted.
    private var uncounted: Int64 = 0
    /// From format 3: the mean of the messages counted, 0 if there are none.
    private var mean: Double = 0

    init() {}

    /// Adds a message's number. False if it does not fit; then nothing has changed.
    mutating func add(_ number: Int64) -> Bool {
        let (newSum, sumOverflows) = sum.addingReportingOverflow(number)
        let (newCount, countOverflows) = count.addingReportingOverflow(1)
        guard !sumOverflows, !countOverflows else { return false }
        sum = newSum
        count = newCount
        mean += (Double(number) - mean) / Double(newCount)
        return true
    }

    /// What `?` answers.
    var description: String {
        switch Self.format {
        case 1: "sum=\(sum)"
        case 2: "sum=\(sum) count=\(count)"
        default: "sum=\(sum) count=\(count) mean=\(mean)"
        }
    }
}

// MARK: - Encoding

extension CounterState {
    var encoded: [UInt8] {
        var bytes = [Self.format]
        bytes.append(littleEndian: sum)
        if Self.format >= 2 { bytes.append(littleEndian: count) }
        if Self.format == 2 { bytes.append(littleEndian: uncounted) }
        if Self.format >= 3 { bytes.append(littleEndian: Int64(bitPattern: mean.bitPattern)) }
        return bytes
    }

    /// Reads this version's format or migrates an earlier one.
    init(decoding saved: SavedState) throws(Refusal) {
        var fields = Fields(bytes: saved.bytes[...])
        let format = try fields.takeByte()
        guard format <= Self.format else {
            throw Refusal(
                """
                the state is of format \(format), from version \(saved.version); this version \
                reads formats up to \(Self.format): upgrade to one that reads it
                """)
        }
        switch format {
        case 1:
            sum = try fields.takeInt64()
            uncounted = sum
        case 2:
            sum = try fields.takeInt64()
            count = try fields.takeInt64()
            uncounted = try fields.takeInt64()
            // The sum of what was counted, wrapped around or not, over its count.
            if count > 0 { mean = (Double(sum) - Double(uncounted)) / Double(count) }
        case 3:
            sum = try fields.takeInt64()
            count = try fields.takeInt64()
            mean = Double(bitPattern: UInt64(bitPattern: try fields.takeInt64()))
        default:
            throw Refusal("the state does not begin with a format: it was not made by a counter")
        }
        guard fields.bytes.isEmpty, count >= 0, mean.isFinite else {
            throw Refusal("the state of format \(format) is damaged: it was not made by a counter")
        }
    }

    /// The bytes not yet read.
    private struct Fields {
        var bytes: ArraySlice<UInt8>

        mutating func takeByte() throws(Refusal) -> UInt8 {
            guard let byte = bytes.popFirst() else { throw Refusal("the state is cut short") }
            return byte
        }

        mutating func takeInt64() throws(Refusal) -> Int64 {
            var value: UInt64 = 0
            for shift in stride(from: 0, to: 64, by: 8) {
                value |= UInt64(try takeByte()) << UInt64(shift)
            }
            return Int64(bitPattern: value)
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: Int64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            append(UInt8(truncatingIfNeeded: value >> Int64(shift)))
        }
    }
}
