// Tells a torn end of the log, of which nobody was ever told, from damage to what was acknowledged.
// Used in batond, by recovery; nothing is written here.

import BatonCore
import BatonLinux

extension Recovery {
    /// Looks at what lies behind `end`, the first place of this segment that is not a good batch.
    /// - Returns: what was never acknowledged, to be dropped.
    func judge(
        _ bytes: UnsafeRawBufferPointer, _ header: Segment.Header, later: ArraySlice<UInt32>
    ) throws(StoreError) -> Torn {
        let bad = LogPosition(segment: header.ordinal, offset: UInt32(end))
        // Segments before this one went when its first batch was durable.
        if segments.count == 1, header.ordinal > 1, end == Segment.headerBytes {
            throw damaged(bad, "the segment's first batch is not valid")
        }
        let rest = unsafe search(
            bytes, of: header.ordinal, from: end, seed: variant.seed(of: header), bad)
        if let proof = rest.proof { throw damaged(bad, "a record is not valid, and \(proof)") }
        var byteCount = rest.end - end
        for ordinal in later {
            let file = try unsafe readFile(ordinal)
            defer { unsafe file.deallocate() }
            let seed = variant.seed(mailbox: header.mailbox, ordinal: ordinal)
            let found = unsafe search(
                UnsafeRawBufferPointer(file), of: ordinal, from: 0, seed: seed, bad)
            if let proof = found.proof {
                throw damaged(bad, "a record is not valid, and in segment \(ordinal) \(proof)")
            }
            byteCount += max(0, found.end - Segment.headerBytes)
        }
        // The header of the first torn batch may itself be half written.
        let torn = min(bytes.count, max(rest.end, end + Mailbox.batchBytes))
        let isZero = unsafe bytes[end..<torn].allSatisfy { $0 == 0 }
        return Torn(
            range: end..<(isZero ? end : torn), segments: Array(later), byteCount: byteCount)
    }

    private func damaged(_ bad: LogPosition, _ reason: String) -> StoreError {
        .corrupt(
            place: "\(path)/\(Segment.fileName(bad.segment)) offset \(bad.offset) (message "
                + "\(nextSequence) on)", reason: reason)
    }

    /// What stands behind a bad place.
    private struct Rest {
        /// What shows that the log was acknowledged beyond it.
        var proof: String?
        /// Behind the last record that is valid by itself.
        var end: Int
    }

    private func search(
        _ bytes: UnsafeRawBufferPointer, of ordinal: UInt32, from start: Int, seed: UInt32,
        _ bad: LogPosition
    ) -> Rest {
        var rest = Rest(end: start)
        if let mark = unsafe PageMark.read(bytes, of: ordinal, seed: seed), mark > bad,
            variant.without != .proof
        {
            rest.proof =
                "the header page says that the log had been made durable up to \(mark.offset)"
            return rest
        }
        for offset in stride(from: start, through: bytes.count - Record.headerBytes, by: 8) {
            guard let found = unsafe Record.findHeader(in: bytes, at: offset, seed: seed) else {
                continue
            }
            rest.end = max(rest.end, found.payload.upperBound)
            switch found.record.kind {
            case .footer where variant.without != .proof:
                rest.proof = "the segment was sealed at offset \(offset)"
                return rest
            case .batch:
                if let batch = unsafe Batch(bytes, at: offset, seed: seed), batch.durable > bad,
                    variant.without != .proof
                {
                    rest.proof = "the batch at offset \(offset) says that it had been made durable"
                    return rest
                }
            case .footer, .message, .settle, .switch, .attempt, .deadLetter, .epoch, .base,
                .confirm, .forget, .identity, .answer:
                break
            }
        }
        return rest
    }
}
