// The header of a batch, as recovery finds it. Used in batond.

import BatonCore

/// A batch header and what it says of its batch.
struct Batch {
    var number: UInt64
    var epoch: UInt32
    var range: Range<Int>
    var recordCount: UInt32
    /// Up to where the log was durable when it was written.
    var durable: LogPosition
    var chain: UInt32
    /// The number of its first message, or of the next if it has none.
    var firstSequence: UInt64
    var headerCRC: UInt32

    /// `nil` if there is no valid batch header at `offset`, or its batch reaches over the end.
    init?(_ bytes: UnsafeRawBufferPointer, at offset: Int, seed: UInt32) {
        guard let found = unsafe Record.find(in: bytes, at: offset, seed: seed),
            found.record.kind == .batch, found.payload.count == 32
        else { return nil }
        var reader = unsafe PayloadReader(UnsafeRawBufferPointer(rebasing: bytes[found.payload]))
        guard let recordCount = reader.integer(UInt32.self),
            let count = reader.integer(UInt32.self), let durable = reader.integer(UInt64.self),
            let chain = reader.integer(UInt32.self), reader.integer(UInt32.self) != nil,
            let firstSequence = reader.integer(UInt64.self), Int(count) >= Mailbox.batchBytes,
            Int(count) <= bytes.count - offset
        else { return nil }
        number = found.record.sequence
        epoch = found.record.epoch
        range = offset..<offset + Int(count)
        self.recordCount = recordCount
        self.durable = LogPosition(word: durable)
        self.chain = chain
        self.firstSequence = firstSequence
        headerCRC = found.headerCRC
    }

    /// Whether every record of it is there and valid.
    func isWhole(
        _ bytes: UnsafeRawBufferPointer, seed: UInt32, ofAnyEpoch: Bool = false
    ) -> Bool {
        var offset = range.lowerBound + Mailbox.batchBytes
        var count: UInt32 = 0
        while offset < range.upperBound {
            guard let found = unsafe Record.find(in: bytes, at: offset, seed: seed),
                found.record.batch == UInt32(truncatingIfNeeded: number),
                found.record.epoch == epoch || ofAnyEpoch
            else { return false }
            offset += Record.size(payload: found.payload.count)
            count &+= 1
        }
        return offset == range.upperBound && count == recordCount
    }
}
