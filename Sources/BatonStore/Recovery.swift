// Reads a mailbox's log from disk after any end: finds what was acknowledged, tells a torn batch from
// damage, and opens the mailbox for a new life. Used in batond.
//
// The rule. Batches are read in order, each checked whole. At the first bad place, everything behind
// it is searched for valid batches: if one of them says that the log was durable beyond the bad
// place when it was written, or the segment was sealed, then acknowledged data is damaged: nothing
// is changed, and the place is named. Otherwise nobody has ever been told of anything from there
// on: it is dropped whole and zeroed. All of this may be cut off at any point and done again.

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
        /// Bytes of a batch that was being written when the last life ended.
        package var bytesDropped = 0
        package var unknownFiles: [String] = []

        package init() {}
    }

    package private(set) var report = Report()

    private let service: ServiceName
    private let path: String
    private var directory: OpenFile
    private var segments: [Segment] = []
    private var standing = Standing()
    private var nextSequence: UInt64 = 1
    private var batchNumber: UInt64 = 0
    private var chain: UInt32 = 0
    private var epoch: UInt32 = 0
    private var spareBytes: Int?

    private init(service: ServiceName, path: String) throws(SystemError) {
        self.service = service
        self.path = path
        directory = try .directory(path)
    }

    /// Opens the mailbox in `path`, made if it is not there; durable when this returns.
    package static func open(
        service: ServiceName, path: String, byteLimit: Int, report: inout Report
    ) throws(StoreError) -> Mailbox {
        try StoreError.wrap { () throws(SystemError) in
            guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw .last("make \(path)")
            }
        }
        var recovery = try StoreError.wrap { () throws(SystemError) in
            try Recovery(service: service, path: path)
        }
        var mailbox = try recovery.recover(byteLimit: byteLimit)
        report = recovery.report
        try mailbox.writeEpoch()
        try mailbox.flush()
        let targets = mailbox.takeSync()
        try StoreError.wrap { () throws(SystemError) in
            for target in targets { try target.file.sync(data: target.dataOnly) }
        }
        try mailbox.synced()
        return mailbox
    }

    // MARK: The files

    private mutating func recover(byteLimit: Int) throws(StoreError) -> Mailbox {
        let ordinals = try listSegments()
        if ordinals.isEmpty { try createFirst() } else { try readAll(ordinals) }
        guard let last = segments.last else { preconditionFailure("a mailbox has a segment") }
        let directory = directory
        let active = try StoreError.wrap { () throws(SystemError) in
            OpenFile(
                try .open(
                    Segment.fileName(last.ordinal), in: directory.number, flags: O_RDWR))
        }
        return Mailbox(
            service: service, directory: directory, segments: segments, active: active,
            standing: standing, appended: SequenceNumber(nextSequence - 1), epoch: epoch + 1,
            batchNumber: batchNumber, chain: chain, end: end, hasSpareOf: spareBytes,
            byteLimit: byteLimit)
    }

    private mutating func listSegments() throws(StoreError) -> [UInt32] {
        let path = path
        let names = try StoreError.wrap { () throws(SystemError) in
            try DirectoryListing.names(path)
        }
        var ordinals: [UInt32] = []
        for name in names {
            if let ordinal = Segment.ordinal(fileName: name) {
                ordinals.append(ordinal)
            } else if name == SegmentFile.spare {
                spareBytes = try byteCount(of: name)
            } else if name.hasSuffix(".new") {
                // Never finished, so never part of anything.
                let directory = directory
                try StoreError.wrap { () throws(SystemError) in
                    try SegmentFile.remove(name, in: directory)
                }
            } else {
                report.unknownFiles.append(name)
            }
        }
        ordinals.sort()
        for (before, after) in zip(ordinals, ordinals.dropFirst()) where after != before + 1 {
            throw .corrupt(
                place: "\(path)/\(Segment.fileName(before + 1))", reason: "the segment is missing")
        }
        return ordinals
    }

    private func byteCount(of name: String) throws(StoreError) -> Int {
        let directory = directory
        return try StoreError.wrap { () throws(SystemError) in
            let file = try Descriptor.open(name, in: directory.number, flags: O_RDONLY)
            return Int(try file.status().st_size)
        }
    }

    /// The first segment gets its name when it is whole.
    private mutating func createFirst() throws(StoreError) {
        var mailbox = [UInt8](repeating: 0, count: 16)
        var generator = SystemRandomNumberGenerator()
        for index in mailbox.indices { mailbox[index] = UInt8.random(in: 0...255, using: &generator) }
        let header = Segment.Header(
            mailbox: mailbox, ordinal: 1, byteCount: FixedLimits.firstSegmentBytes,
            firstSequence: 1, firstBatch: 1, epoch: 1, previousEnd: 0, previousChain: 0)
        let directory = directory
        try StoreError.wrap { () throws(SystemError) in
            let temporary = "first.new"
            try SegmentFile.make("first.new", in: directory, byteCount: header.byteCount)
            let file = OpenFile(try .open(temporary, in: directory.number, flags: O_RDWR))
            try file.writePage(header.encoded())
            try file.sync(data: true)
            try SegmentFile.rename(temporary, to: Segment.fileName(1), in: directory)
            try directory.sync(data: false)
        }
        segments = [Segment(header: header)]
        end = Segment.headerBytes
        report.isNew = true
    }

    // MARK: Reading

    /// Where the next batch begins.
    private var end = Segment.headerBytes

    private mutating func readAll(_ ordinals: [UInt32]) throws(StoreError) {
        for (index, ordinal) in ordinals.enumerated() {
            let file = try unsafe readFile(ordinal)
            defer { unsafe file.deallocate() }
            let bytes = UnsafeRawBufferPointer(file)
            let header = try unsafe readHeader(bytes, ordinal: ordinal)
            segments.append(Segment(header: header))
            var offset = Segment.headerBytes
            if segments.count == 1 {
                batchNumber = header.firstBatch - 1
                chain = header.previousChain
                nextSequence = header.firstSequence
            }
            try unsafe readBatches(bytes, header, from: &offset)
            end = offset
            segments[segments.count - 1].endSequence = nextSequence
            // Is this its end, or a bad place? If a valid successor begins here, all is well.
            let later = ordinals[(index + 1)...]
            if let next = later.first, try successorBegins(next, at: offset) { continue }
            try unsafe judge(
                bytes, at: offset, ordinal: ordinal, later: later, reason: "a record is not valid")
            try remove(later)
            try unsafe zero(bytes, from: offset, header)
            break
        }
        let last = segments.last?.endSequence ?? 1
        precondition(last == nextSequence, "the segments' ends do not agree")
        guard let first = segments.first else { return try createFirst() }
        guard first.header.firstSequence <= standing.settled.value + 1,
            standing.settled.value < nextSequence
        else {
            throw .corrupt(
                place: "\(path)/\(Segment.fileName(first.ordinal))",
                reason: "messages \(standing.settled.value + 1) to "
                    + "\(first.header.firstSequence - 1) are missing: a segment before it is gone")
        }
        report.messages = nextSequence - 1 - standing.settled.value
    }

    private func readHeader(_ bytes: UnsafeRawBufferPointer, ordinal: UInt32) throws(StoreError)
        -> Segment.Header
    {
        switch unsafe Segment.Header.read(bytes) {
        case .header(let header):
            guard header.ordinal == ordinal, header.byteCount == bytes.count,
                header.mailbox == segments.first?.header.mailbox ?? header.mailbox
            else {
                throw .corrupt(
                    place: "\(path)/\(Segment.fileName(ordinal))",
                    reason: "the file belongs elsewhere, or its size was changed")
            }
            return header
        case .newerFormat(let found):
            throw .newerFormat(
                found: found, known: Segment.formatVersion,
                place: "\(path)/\(Segment.fileName(ordinal))")
        case .invalid:
            throw .corrupt(
                place: "\(path)/\(Segment.fileName(ordinal))",
                reason: "the segment's header is not valid")
        }
    }

    /// Whether a segment continues the one before it, which ends at `end`.
    private func successorBegins(_ ordinal: UInt32, at end: Int) throws(StoreError) -> Bool {
        let file = try unsafe readFile(ordinal, atMost: Segment.headerBytes)
        defer { unsafe file.deallocate() }
        guard case .header(let header) = unsafe Segment.Header.read(UnsafeRawBufferPointer(file))
        else { return false }
        return header.previousEnd == UInt32(end) && header.previousChain == chain
    }

    private mutating func readFile(_ ordinal: UInt32) throws(StoreError)
        -> UnsafeMutableRawBufferPointer
    {
        let bytes = try unsafe (self as Recovery).readFile(ordinal, atMost: .max)
        report.bytesRead += bytes.count
        return unsafe bytes
    }

    private func readFile(_ ordinal: UInt32, atMost most: Int) throws(StoreError)
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
            throw .corrupt(place: "\(path)/\(name)", reason: "it cannot be read (\(error))")
        }
        return unsafe buffer
    }

    // MARK: Batches

    /// Applies whole batches from `offset` on, and leaves it where the first bad one begins.
    private mutating func readBatches(
        _ bytes: UnsafeRawBufferPointer, _ header: Segment.Header, from offset: inout Int
    ) throws(StoreError) {
        let seed = header.seed
        while let batch = unsafe Batch(bytes, at: offset, seed: seed) {
            guard batch.number == batchNumber + 1, batch.chain == chain, batch.epoch >= epoch,
                unsafe batch.isWhole(bytes, seed: seed)
            else { return }
            segments[segments.count - 1].note(batchAt: offset, firstSequence: nextSequence)
            try unsafe apply(batch, bytes, seed: seed, ordinal: header.ordinal)
            batchNumber = batch.number
            chain = batch.headerCRC
            epoch = batch.epoch
            offset = batch.range.upperBound
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

    private mutating func apply(_ record: Record, _ payload: UnsafeRawBufferPointer) -> Bool {
        switch record.kind {
        case .message:
            guard record.sequence == nextSequence else { return false }
            nextSequence += 1
        case .settle:
            let sequence = SequenceNumber(record.sequence)
            guard sequence >= standing.settled, sequence.value < nextSequence else { return false }
            let state = record.flags & Record.hasState != 0 ? unsafe Array(payload) : nil
            standing.settle(upTo: sequence, state: state)
        case .switch:
            var reader = unsafe PayloadReader(payload)
            guard let release = Standing.Release(&reader) else { return false }
            standing.switchTo(release, after: SequenceNumber(record.sequence))
        case .attempt:
            var reader = unsafe PayloadReader(payload)
            guard let count = reader.integer(UInt32.self) else { return false }
            standing.attempts[record.sequence] = count
        case .deadLetter: standing.bury(record.sequence)
        case .base:
            guard let base = unsafe Standing(payload) else { return false }
            standing = base
        case .epoch: break
        case .batch, .footer: return false
        }
        return true
    }

    // MARK: Torn or damaged

    /// Returns if what lies from `offset` of this segment on was never acknowledged.
    private func judge(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, ordinal: UInt32,
        later: ArraySlice<UInt32>, reason: String
    ) throws(StoreError) {
        let bad = LogPosition(segment: ordinal, offset: UInt32(offset))
        guard let mailbox = segments.first?.header.mailbox else {
            throw .corrupt(
                place: "\(path)/\(Segment.fileName(ordinal))", reason: reason)
        }
        var damage: String?
        switch unsafe search(bytes, from: offset, mailbox, ordinal, bad) {
        case .nothing: break
        case .sealed(let end): damage = "the segment was sealed at offset \(end)"
        case .durable(let at):
            damage = "the batch at offset \(at) says that it had been made durable"
        }
        for ordinal in later where damage == nil {
            let file = try unsafe readFile(ordinal, atMost: .max)
            defer { unsafe file.deallocate() }
            switch unsafe search(UnsafeRawBufferPointer(file), from: 0, mailbox, ordinal, bad) {
            case .nothing: break
            case .sealed: damage = "segment \(ordinal) behind it was sealed"
            case .durable: damage = "segment \(ordinal) says that it had been made durable"
            }
        }
        if let damage {
            throw .corrupt(
                place: "\(path)/\(Segment.fileName(ordinal)) offset \(offset) (message "
                    + "\(nextSequence) on)",
                reason: "\(reason), and \(damage)")
        }
    }

    private enum Finding {
        case nothing
        case sealed(end: Int)
        case durable(at: Int)
    }

    /// Looks for what proves that the log was acknowledged beyond `bad`.
    private func search(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ mailbox: [UInt8], _ ordinal: UInt32,
        _ bad: LogPosition
    ) -> Finding {
        let seed = Segment.seed(mailbox: mailbox, ordinal: ordinal)
        var offset = start
        while offset <= bytes.count - Record.headerBytes {
            defer { offset += 8 }
            guard let found = unsafe Record.findHeader(in: bytes, at: offset, seed: seed) else {
                continue
            }
            switch found.record.kind {
            case .footer: return .sealed(end: offset)
            case .batch:
                if let batch = unsafe Batch(bytes, at: offset, seed: seed),
                    LogPosition(word: batch.durable) > bad
                {
                    return .durable(at: offset)
                }
            case .message, .settle, .switch, .attempt, .deadLetter, .epoch, .base: break
            }
        }
        return .nothing
    }

    // MARK: Dropping what is torn

    private mutating func remove(_ ordinals: ArraySlice<UInt32>) throws(StoreError) {
        guard !ordinals.isEmpty else { return }
        let directory = directory
        try StoreError.wrap { () throws(SystemError) in
            for ordinal in ordinals.reversed() {
                try SegmentFile.remove(Segment.fileName(ordinal), in: directory)
            }
            try directory.sync(data: false)
        }
    }

    /// Zeroes what a torn write left behind the end.
    private mutating func zero(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ header: Segment.Header
    ) throws(StoreError) {
        let seed = header.seed
        var last = start
        var offset = start
        while offset <= bytes.count - Record.headerBytes {
            if let found = unsafe Record.findHeader(in: bytes, at: offset, seed: seed) {
                last = max(last, found.payload.upperBound)
            }
            offset += 8
        }
        // The first header may be half written.
        let torn = min(bytes.count, max(last, start + Mailbox.batchBytes))
        guard unsafe bytes[start..<torn].contains(where: { $0 != 0 }) else { return }
        report.bytesDropped = last - start
        let directory = directory
        let range = start..<torn
        try StoreError.wrap { () throws(SystemError) in
            let file = OpenFile(
                try .open(
                    Segment.fileName(header.ordinal), in: directory.number, flags: O_RDWR))
            try file.write([UInt8](repeating: 0, count: range.count), at: range.lowerBound)
            try file.sync(data: true)
        }
    }
}

/// A batch header and what it says of its batch.
private struct Batch {
    var number: UInt64
    var epoch: UInt32
    var range: Range<Int>
    var recordCount: UInt32
    var durable: UInt64
    var chain: UInt32
    var headerCRC: UInt32

    /// `nil` if there is no valid batch header at `offset`, or its batch reaches over the end.
    init?(_ bytes: UnsafeRawBufferPointer, at offset: Int, seed: UInt32) {
        guard let found = unsafe Record.find(in: bytes, at: offset, seed: seed),
            found.record.kind == .batch, found.payload.count == 32
        else { return nil }
        var reader = unsafe PayloadReader(UnsafeRawBufferPointer(rebasing: bytes[found.payload]))
        guard let recordCount = reader.integer(UInt32.self),
            let count = reader.integer(UInt32.self), let durable = reader.integer(UInt64.self),
            let chain = reader.integer(UInt32.self), Int(count) >= Mailbox.batchBytes,
            Int(count) <= bytes.count - offset
        else { return nil }
        number = found.record.sequence
        epoch = found.record.epoch
        range = offset..<offset + Int(count)
        self.recordCount = recordCount
        self.durable = durable
        self.chain = chain
        headerCRC = found.headerCRC
    }

    /// Whether every record of it is there and valid.
    func isWhole(_ bytes: UnsafeRawBufferPointer, seed: UInt32) -> Bool {
        var offset = range.lowerBound + Mailbox.batchBytes
        var count: UInt32 = 0
        while offset < range.upperBound {
            guard let found = unsafe Record.find(in: bytes, at: offset, seed: seed),
                found.record.batch == UInt32(truncatingIfNeeded: number),
                found.record.epoch == epoch
            else { return false }
            offset += Record.size(payload: found.payload.count)
            count &+= 1
        }
        return offset == range.upperBound && count == recordCount
    }
}
