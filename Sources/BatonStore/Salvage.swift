// What can be kept of a damaged mailbox: everything that is valid where it lies, told before anything
// is done, and written as a new log beside the old one. Used in `batond repair`.
//
// The rule. Records are applied in order, as recovery does. Where something unknown is missing, the
// state may have changed there: from then on a settle record counts only if it carries the state,
// until a base record says everything anew. So the cursor never passes a message whose effect the
// state may lack: such messages are handled again. A message that is not settled and not readable is
// lost, and named.

import BatonCore
import BatonLinux
import Glibc

package struct Salvage {
    /// What the repaired mailbox knows.
    package internal(set) var standing: MailboxMachine
    /// The last message there was, as far as the log tells.
    package private(set) var appended: SequenceNumber
    /// Messages that are gone, in order: accepted, and their effect is nowhere.
    package private(set) var lost: [ClosedRange<UInt64>] = []
    /// Messages that were settled, and are handled again, as far as they are not lost: the state
    /// they led to is.
    package private(set) var again: ClosedRange<UInt64>?
    /// No state can be read that the log knows: it begins with none.
    package internal(set) var isStateLost = false
    /// What a provisional release could be rolled back to, and cannot any more.
    package internal(set) var droppedFallback: MailboxMachine.Release?
    /// Something is missing at the log's end: what it was cannot be known.
    package private(set) var isEndMissing = false

    let service: ServiceName
    private(set) var reading: DamagedReading

    /// Messages that wait and are there.
    package var waitingCount: UInt64 {
        let lost = lost.reduce(0 as UInt64) { sum, range in
            let first = max(range.lowerBound, standing.settled.value + 1)
            return sum + (first <= range.upperBound ? range.upperBound - first + 1 : 0)
        }
        return appended.distance(from: standing.settled) - lost
    }

    /// Reads the damaged log; changes nothing.
    /// - Throws: `newerFormat`; `corrupt` if so much is lost before messages that are kept that a
    ///   mailbox could not bear it.
    package init(_ service: ServiceName, path: String) throws(StoreError) {
        self.service = service
        var walked = try DamagedReading(path: path)
        var content = SalvagedContent(try Self.recovery(of: service, path))
        try walked.walk { (item) throws(StoreError) in content.add(item) }
        reading = walked
        standing = content.standing
        appended = content.appended
        try takeState(from: path)
        isEndMissing = content.isHoleLast || content.isEmpty || walked.isEndUncertain
        if let fallback = standing.fallback {
            let lost = content.missing(after: fallback.settled, through: standing.settled)
            if !lost.isEmpty || !content.isFallbackKnown {
                droppedFallback = fallback.release
                _ = standing.confirm()
            }
        }
        lost = content.missing(after: standing.needed, through: appended)
        if content.settledOnce > standing.settled {
            again = standing.settled.value + 1...content.settledOnce.value
        }
        forgetIDs()
        passOver()
        guard passedOver.count <= FixedLimits.lostRanges,
            passedOver.reduce(0, { $0 + $1.count }) <= FixedLimits.passedMessages
        else {
            throw .corrupt(
                place: path,
                reason: "messages are lost in \(passedOver.count) places before others that wait, "
                    + "at most \(FixedLimits.lostRanges) can be passed over")
        }
    }

    static func recovery(of service: ServiceName, _ path: String) throws(StoreError)
        -> Recovery
    {
        try StoreError.wrap { () throws(SystemError) in
            try Recovery(service: service, path: path, wasMade: false)
        }
    }

    /// A client that sends a lost message again, with its id, is to be heard: it is a new message. So
    /// it is where the answer is lost: nobody could tell it again.
    private mutating func forgetIDs() {
        var ids = IDWindow()
        for entry in standing.ids.all
        where !lost.contains(where: { $0.contains(entry.sequence) })
            && (entry.answer != nil || entry.sequence > standing.settled.value)
        {
            _ = ids.restore(entry)
        }
        standing.ids = ids
    }

    /// Lost messages that others follow: each has an empty one in its place, which hosts pass over.
    private var passedOver: [ClosedRange<UInt64>] = []

    /// Where the next messages are lost, the cursor goes on behind them.
    private mutating func passOver() {
        passedOver = lost
        guard standing.fallback == nil else { return }
        while let first = passedOver.first, first.lowerBound == standing.settled.value + 1 {
            let end = SequenceNumber(first.upperBound)
            _ = standing.settle(upTo: end, state: nil, format: 0)
            passedOver.removeFirst()
        }
    }

    // MARK: Writing

    /// Writes the new log into a directory that is not there yet; durable when this returns.
    package mutating func write(to path: String) throws(StoreError) {
        let directory = try StoreError.wrap { () throws(SystemError) in
            guard unsafe mkdir(path, 0o700) == 0 else { throw .last("make \(path)") }
            return try OpenFile.directory(path)
        }
        var mailbox = try begin(in: directory)
        var lost = passedOver.flatMap { $0 }[...]
        var next = standing.needed.value + 1
        var reading = reading
        try reading.walk { (item) throws(StoreError) in
            guard case .record(let record, let payload) = item, record.kind == .message,
                record.sequence >= next, !isLost(record.sequence)
            else { return }
            while next < record.sequence, lost.first == next {
                try Self.append([], to: &mailbox)
                lost.removeFirst()
                next += 1
            }
            guard record.sequence == next else { return }
            _ = try unsafe mailbox.append(payload)
            next += 1
        }
        while lost.first == next {
            try Self.append([], to: &mailbox)
            lost.removeFirst()
            next += 1
        }
        if standing.settled > mailbox.standing.settled {
            try mailbox.settle(upTo: standing.settled, state: nil)
        }
        try mailbox.flush()
        try Self.sync(&mailbox)
        // The footers are durable with it.
        try mailbox.mark()
        try Self.sync(&mailbox)
        standing = mailbox.standing
    }

    private static func sync(_ mailbox: inout Mailbox) throws(StoreError) {
        let targets = mailbox.takeSync()
        try StoreError.wrap { () throws(SystemError) in
            for target in targets { try target.file.sync(data: target.dataOnly) }
        }
        try mailbox.synced()
    }

    /// A message may lie where the log has said it cannot: what was told before counts.
    private func isLost(_ sequence: UInt64) -> Bool {
        passedOver.contains { $0.contains(sequence) }
    }

    private static func append(_ message: [UInt8], to mailbox: inout Mailbox) throws(StoreError) {
        let result = unsafe message.withUnsafeBytes { bytes in
            Result { () throws(StoreError) in try unsafe mailbox.append(bytes) }
        }
        _ = try result.get()
    }

    /// The new log's first segment, with what is known in its base record. Its ordinal is beyond
    /// those of the old log: the first batch of a segment that is not the first counts as durable.
    private func begin(in directory: OpenFile) throws(StoreError) -> Mailbox {
        var base = standing
        base.settled = standing.needed
        base.dead.formUnion(passedOver.joined())
        for sequence in passedOver.joined() { base.attempts[sequence] = nil }
        let baseBytes = Mailbox.batchBytes + Record.size(payload: base.encodedByteCount)
        let least = Segment.headerBytes + 2 * baseBytes + (64 << 10)
        let header = Segment.Header(
            mailbox: (0..<16).map { _ in UInt8.random(in: 0...255) },
            ordinal: reading.lastOrdinal + 1,
            byteCount: max(FixedLimits.firstSegmentBytes, (least + 4095) & ~4095),
            firstSequence: base.settled.value + 1, firstBatch: 1, epoch: reading.epoch + 1,
            previousEnd: 0, previousChain: 0)
        let name = Segment.fileName(header.ordinal)
        let active = try StoreError.wrap { () throws(SystemError) in
            try SegmentFile.make(
                name, in: directory, byteCount: header.byteCount, begin: header.encoded())
            return OpenFile(try .open(name, in: directory.number, flags: O_RDWR))
        }
        var mailbox = Mailbox(
            service: service, directory: directory, segments: [Segment(header: header)],
            active: active, standing: base, appended: base.settled, epoch: header.epoch,
            batchNumber: 0, chain: 0, end: Segment.headerBytes, hasSpareOf: nil, byteLimit: .max,
            variant: .standard, lost: nil)
        try mailbox.beginLife()
        return mailbox
    }
}
