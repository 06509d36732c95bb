// Reads a mailbox's log from disk after any end: finds what was acknowledged, tells a torn batch from
// damage, and opens the mailbox for a new life. Used in batond.
//
// The rule. Batches are read in order, each checked whole. At the first bad place, everything behind
// it is searched for valid batches: if one of them says that the log was durable beyond the bad
// place when it was written, or the segment was sealed, then acknowledged data is damaged: nothing
// is changed, and the place is named. Otherwise nobody has ever been told of anything from there
// on: it is dropped whole and zeroed.
//
// Everything is read before anything is written; the writing (Mending.swift) may be cut off at any
// point and done again. The reading alone is a Survey.

import BatonCore
import BatonLinux
import CLinux
import Glibc

package struct Recovery {
    /// What was found, for the log.
    package struct Report: Equatable, Sendable {
        package var isNew = false
        package var messages: UInt64 = 0
        package var bytesRead = 0
        /// Bytes of batches that were being written when the last life ended.
        package var bytesDropped = 0
        package var unknownFiles: [String] = []
        /// The state's slot is damaged: it is come to again from an earlier one.
        package var damagedSlot: String?
        /// That of what a provisional release could fall back to is: it is confirmed.
        package var damagedFallback: String?

        package init() {}
    }

    /// The names in the mailbox's directory.
    struct Listing {
        var ordinals: [UInt32] = []
        var spareBytes: Int?
        var slots: [UInt8] = []
        /// Never finished, so never part of anything.
        var unfinished: [String] = []
    }

    /// What is dropped: from the end of the last good segment on, and whole segments behind it.
    struct Torn {
        /// In the last good segment, what is made zero.
        var range: Range<Int>
        var segments: [UInt32]
        /// Of valid records in all of it.
        var byteCount: Int
    }

    var report = Report()
    let path: String
    let directory: OpenFile
    var segments: [Segment] = []
    /// Where the next batch begins, in the last segment.
    var end = Segment.headerBytes
    /// Up to where batches say that the log was durable.
    var proven = LogPosition(segment: 1, offset: UInt32(Segment.headerBytes))
    var nextSequence: UInt64 = 1
    var standing = MailboxMachine()
    /// What there is in place of the state.
    var lost: MailboxMachine.Earlier?

    let variant: StoreVariant
    private let service: ServiceName?
    private let wasMade: Bool
    private var headers: [UInt32: Segment.Header] = [:]
    private var batchNumber: UInt64 = 0
    private var chain: UInt32 = 0
    private var epoch: UInt32 = 0

    init(
        service: ServiceName?, path: String, wasMade: Bool, variant: StoreVariant = .standard
    ) throws(SystemError) {
        self.service = service
        self.wasMade = wasMade
        self.path = path
        self.variant = variant
        directory = try .directory(path)
    }

    /// Opens the mailbox in `path`, made if it is not there; durable when this returns.
    /// - Parameter wasMade: it was open once, so there is something in it.
    package static func open(
        service: ServiceName, path: String, byteLimit: Int, wasMade: Bool = false,
        variant: StoreVariant = .standard, report: inout Report
    ) throws(StoreError) -> Mailbox {
        do throws(StoreError) {
            return try recover(
                service: service, path: path, byteLimit: byteLimit, wasMade: wasMade,
                variant: variant, report: &report)
        } catch .system(let error) {
            throw .system(SystemError("\(path): \(error.operation)", code: error.code))
        }
    }

    private static func recover(
        service: ServiceName, path: String, byteLimit: Int, wasMade: Bool, variant: StoreVariant,
        report: inout Report
    ) throws(StoreError) -> Mailbox {
        try StoreError.wrap { () throws(SystemError) in
            guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw .last("make the directory")
            }
        }
        var recovery = try StoreError.wrapReading(path) { () throws(SystemError) in
            try Recovery(service: service, path: path, wasMade: wasMade, variant: variant)
        }
        var mailbox = try recovery.recover(byteLimit: byteLimit)
        report = recovery.report
        try mailbox.beginLife()
        if report.damagedFallback != nil {
            try mailbox.confirm()
            try mailbox.flush()
        }
        let targets = mailbox.takeSync()
        try StoreError.wrap { () throws(SystemError) in
            for target in targets { try target.file.sync(data: target.dataOnly) }
        }
        try mailbox.synced()
        return mailbox
    }

    /// Looks only whether a newer Baton has written there: so that nothing at all is written then.
    /// - Throws: `newerFormat`. What cannot be read is for `open` to tell.
    package static func checkFormat(path: String) throws(StoreError) {
        do throws(StoreError) {
            var recovery = try StoreError.wrap { () throws(SystemError) in
                try Recovery(service: nil, path: path, wasMade: false)
            }
            try recovery.readHeaders(recovery.list())
        } catch {
            if case .newerFormat = error { throw error }
        }
    }

    private mutating func recover(byteLimit: Int) throws(StoreError) -> Mailbox {
        let listing = try list()
        let torn = try readAll(listing)
        try readSlots()
        try mend(listing, torn)
        guard let last = segments.last, let service else {
            preconditionFailure("a mailbox has a segment")
        }
        let directory = directory
        let active = try StoreError.wrap { () throws(SystemError) in
            OpenFile(
                try .open(
                    Segment.fileName(last.ordinal), in: directory.number, flags: O_RDWR))
        }
        return Mailbox(
            service: service, directory: directory, segments: segments, active: active,
            standing: standing, appended: SequenceNumber(nextSequence - 1), epoch: epoch + 1,
            batchNumber: batchNumber, chain: chain, end: end, hasSpareOf: listing.spareBytes,
            byteLimit: byteLimit, variant: variant, lost: lost)
    }

    /// `corrupt`, with the segment named.
    func corrupt(_ ordinal: UInt32, _ reason: String) -> StoreError {
        .corrupt(place: "\(path)/\(Segment.fileName(ordinal))", reason: reason)
    }

    // MARK: The files

    mutating func list() throws(StoreError) -> Listing {
        let path = path
        let names = try StoreError.wrapReading(path) { () throws(SystemError) in
            try DirectoryListing.names(path)
        }
        var listing = Listing()
        for name in names {
            if let ordinal = Segment.ordinal(fileName: name) {
                listing.ordinals.append(ordinal)
            } else if name == SegmentFile.spare {
                listing.spareBytes = try byteCount(of: name)
            } else if let slot = CheckpointSlot.slot(fileName: name) {
                listing.slots.append(slot)
            } else if SegmentFile.isUnfinished(name) {
                listing.unfinished.append(name)
            } else {
                report.unknownFiles.append(name)
            }
        }
        listing.ordinals.sort()
        for (before, after) in zip(listing.ordinals, listing.ordinals.dropFirst())
        where after != before + 1 {
            throw corrupt(before + 1, "the segment is missing")
        }
        // A spare is made for a log that there is, and so is a slot.
        if listing.ordinals.isEmpty, listing.spareBytes != nil || !listing.slots.isEmpty {
            throw corrupt(1, "every segment is missing")
        }
        return listing
    }

    private func byteCount(of name: String) throws(StoreError) -> Int {
        let directory = directory
        return try StoreError.wrapReading("\(path)/\(name)") { () throws(SystemError) in
            let file = try Descriptor.open(name, in: directory.number, flags: O_RDONLY)
            return Int(try file.status().st_size)
        }
    }

    func readFile(_ ordinal: UInt32, atMost most: Int = .max) throws(StoreError)
        -> UnsafeMutableRawBufferPointer
    {
        let name = Segment.fileName(ordinal)
        let count = min(try byteCount(of: name), most)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        do throws(SystemError) {
            let file = try Descriptor.open(name, in: directory.number, flags: O_RDONLY)
            let got = try unsafe file.read(into: buffer, at: 0)
            guard got == count else { throw SystemError("read \(name)", code: EIO) }
        } catch {
            unsafe buffer.deallocate()
            // A file that cannot be opened may be whole.
            guard error.code == EIO else { throw .system(error) }
            throw corrupt(ordinal, "it cannot be read (\(error))")
        }
        return unsafe buffer
    }

    // MARK: Headers

    /// Reads every segment's header, so that a newer format is known before anything is done. One
    /// that is not valid is left out: it may never have been written whole.
    private mutating func readHeaders(_ listing: Listing) throws(StoreError) {
        let ordinals = listing.ordinals
        for slot in listing.slots { try checkFormat(slot) }
        for ordinal in ordinals {
            let page = try unsafe readFile(ordinal, atMost: Segment.headerBytes)
            defer { unsafe page.deallocate() }
            switch unsafe Segment.Header.read(UnsafeRawBufferPointer(page)) {
            case .header(let header): headers[ordinal] = header
            case .newerFormat(let found):
                throw .newerFormat(
                    found: found, known: Segment.formatVersion,
                    place: "\(path)/\(Segment.fileName(ordinal))")
            case .invalid: break
            }
        }
        guard let first = ordinals.first else { return }
        guard let mailbox = headers[first]?.mailbox else {
            throw corrupt(first, "the segment's header is not valid")
        }
        for (ordinal, header) in headers.sorted(by: { $0.key < $1.key }) {
            guard header.mailbox == mailbox, ordinal != first || header.ordinal == first else {
                throw corrupt(ordinal, "the file belongs elsewhere")
            }
            guard try byteCount(of: Segment.fileName(ordinal)) == header.byteCount else {
                throw corrupt(ordinal, "its size was changed")
            }
        }
    }

    /// Whether a segment continues the log, whose last batch ends at `offset`.
    private func continues(_ ordinal: UInt32, at offset: Int) -> Bool {
        guard let header = headers[ordinal] else { return false }
        return header.ordinal == ordinal && header.previousEnd == UInt32(offset)
            && (header.previousChain == chain || variant.without == .chain)
    }

    // MARK: Reading

    /// - Returns: what is to be dropped.
    mutating func readAll(_ listing: Listing) throws(StoreError) -> Torn? {
        let ordinals = listing.ordinals
        try readHeaders(listing)
        var torn: Torn?
        for (index, ordinal) in ordinals.enumerated() {
            guard let header = headers[ordinal] else { break }
            let file = try unsafe readFile(ordinal)
            defer { unsafe file.deallocate() }
            let bytes = UnsafeRawBufferPointer(file)
            report.bytesRead += bytes.count
            begin(header)
            try unsafe readBatches(bytes, header)
            // Is this its end, or a bad place? If a valid successor begins here, all is well.
            let later = ordinals[(index + 1)...]
            if let next = later.first, continues(next, at: end) { continue }
            torn = try unsafe judge(bytes, header, later: later)
            break
        }
        guard let first = segments.first else { return nil }
        // The first life's first batch was durable before the mailbox was said to be made.
        if wasMade, batchNumber < first.header.firstBatch {
            throw corrupt(first.ordinal, "there is not a single valid record in it")
        }
        // Those that a provisional release needs to be rolled back are there too.
        let needed = standing.needed.value
        guard first.header.firstSequence <= needed + 1 else {
            throw corrupt(
                first.ordinal,
                "messages \(needed + 1) to "
                    + "\(first.header.firstSequence - 1) are missing: a segment before it is gone")
        }
        report.messages = nextSequence - 1 - standing.settled.value
        return torn
    }

    private mutating func begin(_ header: Segment.Header) {
        if segments.isEmpty {
            batchNumber = header.firstBatch - 1
            chain = header.previousChain
            nextSequence = header.firstSequence
        }
        segments.append(Segment(header: header))
        segments[segments.count - 1].endSequence = nextSequence
        end = Segment.headerBytes
    }

    /// Applies whole batches, and leaves `end` where the first bad one begins.
    private mutating func readBatches(_ bytes: UnsafeRawBufferPointer, _ header: Segment.Header)
        throws(StoreError)
    {
        let seed = variant.seed(of: header)
        let without = variant.without
        while let batch = unsafe Batch(bytes, at: end, seed: seed) {
            guard batch.number == batchNumber + 1, batch.chain == chain || without == .chain,
                batch.epoch >= epoch || without == .epoch,
                unsafe batch.isWhole(bytes, seed: seed, ofAnyEpoch: without == .epoch)
                    || without == .wholeness
            else { return }
            segments[segments.count - 1].note(batchAt: end, firstSequence: nextSequence)
            try unsafe apply(batch, bytes, seed: seed, ordinal: header.ordinal)
            segments[segments.count - 1].endSequence = nextSequence
            batchNumber = batch.number
            chain = batch.headerCRC
            epoch = batch.epoch
            proven = max(proven, batch.durable)
            end = batch.range.upperBound
        }
    }

    private mutating func apply(
        _ batch: Batch, _ bytes: UnsafeRawBufferPointer, seed: UInt32, ordinal: UInt32
    ) throws(StoreError) {
        var offset = batch.range.lowerBound + Mailbox.batchBytes
        while offset < batch.range.upperBound,
            let found = unsafe Record.findHeader(in: bytes, at: offset, seed: seed)
        {
            let payload = unsafe UnsafeRawBufferPointer(rebasing: bytes[found.payload])
            guard unsafe apply(found.record, payload) else {
                throw .corrupt(
                    place: "\(path)/\(Segment.fileName(ordinal)) offset \(offset)",
                    reason: "a valid \(found.record.kind) record (sequence "
                        + "\(found.record.sequence)) does not fit those before it")
            }
            offset += Record.size(payload: found.payload.count)
        }
    }

    /// Adds one record to what is known. `false` if it does not fit what was before it.
    mutating func apply(_ record: Record, _ payload: UnsafeRawBufferPointer) -> Bool {
        var reader = unsafe PayloadReader(payload)
        switch record.kind {
        case .message:
            guard record.sequence == nextSequence else { return false }
            nextSequence += 1
        case .settle where record.flags & Record.namesSlot != 0:
            guard record.sequence < nextSequence,
                let state = MailboxMachine.State(slotted: &reader)
            else { return false }
            return standing.settle(
                upTo: SequenceNumber(record.sequence), slotted: state,
                isCopy: record.flags & Record.isCopy != 0)
        case .settle:
            let hasState = record.flags & Record.hasState != 0
            let hasFormat = record.flags & Record.hasFormat != 0
            guard record.sequence < nextSequence,
                let format = hasFormat ? reader.integer(UInt32.self) : 0
            else { return false }
            return standing.settle(
                upTo: SequenceNumber(record.sequence), state: hasState ? reader.rest() : nil,
                format: format)
        case .switch:
            var isFinal = false
            guard let new = unsafe MailboxMachine.Switch(payload, isFinal: &isFinal),
                record.sequence == standing.settled.value
            else { return false }
            standing.apply(new)
            if isFinal { _ = standing.confirm() }
        case .confirm: _ = standing.confirm()
        case .attempt:
            guard let count = reader.integer(UInt32.self) else { return false }
            standing.recordAttempt(at: record.sequence, count: count)
        case .deadLetter:
            let letter = MailboxMachine.DeadLetter(record.sequence, &reader)
            // Format 1 kept nothing of it.
            guard letter != nil || record.payloadBytes == 0 else { return false }
            _ = standing.bury(record.sequence, letter)
        case .forget: _ = standing.forget(record.sequence)
        case .identity:
            guard let read = IDWindow.Identity.read(&reader) else { return false }
            return record.sequence < nextSequence
                && standing.ids.remember(
                    read.identity, sequence: record.sequence, forgetting: read.forgotten)
        case .answer:
            guard let read = IDWindow.Answer.read(&reader) else { return false }
            _ = standing.ids.answer(
                record.sequence, read.answer, at: nil, forgetting: read.forgotten)
        case .base:
            guard let base = unsafe MailboxMachine(payload), base.settled.value < nextSequence
            else { return false }
            standing = base
        case .epoch: break
        case .batch, .footer: return false
        }
        return true
    }
}
