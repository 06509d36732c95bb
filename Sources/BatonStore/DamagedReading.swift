// Reads a damaged log as far as it can be read: every record that is valid where it lies, and where
// something is missing between them. Used in `batond repair`, by Salvage; nothing is written here.
//
// Invariants: records come in the order of the log; a record comes only if its checksums and its
// place are right, and never one that an earlier life had left behind (epochs and batch numbers
// never go back); what recovery takes for a torn end, and drops, does not come.

import BatonCore
import BatonLinux
import CLinux
import Glibc

struct DamagedReading {
    @safe enum Item {
        case record(Record, UnsafeRawBufferPointer)
        /// A record whose payload is not valid any more; its header is.
        case lost(Record)
        /// Something that is not known was here.
        case hole
        /// A record that is not known was here, and that it had no payload.
        case lostEmpty
        /// The next message has this number.
        case next(sequence: UInt64)
    }

    private struct Segment {
        var ordinal: UInt32
        var header: BatonStore.Segment.Header?
        var seed: UInt32
    }

    let directory: OpenFile
    /// Its identity, as most of its files bear it.
    let mailbox: [UInt8]?
    private var segments: [Segment] = []
    /// Up to where something in the log says that it had been durable.
    private var proven = LogPosition(word: 0)

    // Where the reading has come to.
    private var number: UInt64 = 0
    /// `nil` where the batch before is not known.
    private var chain: UInt32?
    private(set) var epoch: UInt32 = 0
    /// There was more than could be read to the end, acknowledged or not.
    private(set) var isEndUncertain = false
    /// Behind the last batch.
    private var end = LogPosition(word: 0)

    /// Of all files there are, readable or not; 0 if there is none.
    let firstOrdinal: UInt32
    let lastOrdinal: UInt32

    /// - Throws: `newerFormat`, and what a listing can fail with. What cannot be read is lost.
    init(path: String) throws(StoreError) {
        let (directory, names) = try StoreError.wrap { () throws(SystemError) in
            (try OpenFile.directory(path), try DirectoryListing.names(path))
        }
        self.directory = directory
        let ordinals = names.compactMap { BatonStore.Segment.ordinal(fileName: $0) }.sorted()
        var headers: [UInt32: BatonStore.Segment.Header] = [:]
        for ordinal in ordinals {
            let page = unsafe Self.read(
                ordinal, in: directory, atMost: BatonStore.Segment.headerBytes)
            defer { unsafe page.deallocate() }
            switch unsafe BatonStore.Segment.Header.read(UnsafeRawBufferPointer(page)) {
            case .header(let header): headers[ordinal] = header
            case .newerFormat(let found):
                throw .newerFormat(
                    found: found, known: BatonStore.Segment.formatVersion,
                    place: "\(path)/\(BatonStore.Segment.fileName(ordinal))")
            case .invalid: break
            }
        }
        // The mailbox's identity is the one that most of its files bear, at their own place.
        headers = headers.filter { $0.key == $0.value.ordinal }
        let counts = Dictionary(headers.values.map { ($0.mailbox, 1) }, uniquingKeysWith: +)
        let mailbox = counts.max { $0.value < $1.value }?.key
        self.mailbox = mailbox
        for ordinal in ordinals {
            let header = headers[ordinal].flatMap { $0.mailbox == mailbox ? $0 : nil }
            if let seed = Self.seed(ordinal, mailbox, directory) {
                segments.append(Segment(ordinal: ordinal, header: header, seed: seed))
            }
        }
        firstOrdinal = ordinals.first ?? 0
        lastOrdinal = ordinals.last ?? 0
        isEndUncertain = segments.contains { segment in
            segment.header.map { $0.byteCount > Self.byteCount(segment.ordinal, in: directory) }
                ?? false
        }
        for segment in segments { prove(segment) }
    }

    /// Where no header is left to tell the identity, the records themselves tell the seed.
    private static func seed(_ ordinal: UInt32, _ mailbox: [UInt8]?, _ directory: OpenFile)
        -> UInt32?
    {
        if let mailbox { return BatonStore.Segment.seed(mailbox: mailbox, ordinal: ordinal) }
        let file = unsafe read(ordinal, in: directory)
        defer { unsafe file.deallocate() }
        return unsafe LostSeed.find(in: UnsafeRawBufferPointer(file))
    }

    private static func byteCount(_ ordinal: UInt32, in directory: OpenFile) -> Int {
        let name = BatonStore.Segment.fileName(ordinal)
        let file = try? Descriptor.open(name, in: directory.number, flags: O_RDONLY)
        return (try? file?.status()).map { Int($0.st_size) } ?? 0
    }

    /// Reads a file as far as that is possible; what cannot be read is zero, which is no record.
    private static func read(_ ordinal: UInt32, in directory: OpenFile, atMost most: Int = .max)
        -> UnsafeMutableRawBufferPointer
    {
        let name = BatonStore.Segment.fileName(ordinal)
        guard
            let file = try? Descriptor.open(name, in: directory.number, flags: O_RDONLY),
            let status = try? file.status(), status.st_mode & S_IFMT == S_IFREG
        else { return .allocate(byteCount: 0, alignment: 16) }
        let count = min(Int(status.st_size), most)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
        guard (try? unsafe file.read(into: buffer, at: 0)) == nil else { return unsafe buffer }
        for start in stride(from: 0, to: count, by: 4096) {
            let block = unsafe UnsafeMutableRawBufferPointer(
                rebasing: buffer[start..<min(start + 4096, count)])
            _ = try? unsafe file.read(into: block, at: start)
        }
        return unsafe buffer
    }

    private mutating func prove(_ segment: Segment) {
        let file = unsafe Self.read(segment.ordinal, in: directory)
        defer { unsafe file.deallocate() }
        let bytes = UnsafeRawBufferPointer(file)
        if let mark = unsafe PageMark.read(bytes, of: segment.ordinal, seed: segment.seed) {
            proven = max(proven, mark)
        }
        var offset = 0
        while offset <= bytes.count - Record.headerBytes {
            defer { offset += 8 }
            guard let found = unsafe Record.findHeader(in: bytes, at: offset, seed: segment.seed)
            else { continue }
            if found.record.kind == .footer {
                let place = LogPosition(segment: segment.ordinal, offset: UInt32(offset + 1))
                proven = max(proven, place)
            } else if let batch = unsafe Batch(bytes, at: offset, seed: segment.seed) {
                proven = max(proven, batch.durable)
            }
        }
    }

    // MARK: The way through the log

    /// Goes through the log once, from the oldest segment on.
    mutating func walk(_ visit: (Item) throws(StoreError) -> Void) throws(StoreError) {
        guard let first = segments.first else { return }
        number = (first.header?.firstBatch ?? 1) - 1
        chain = first.header?.previousChain
        epoch = 0
        end = LogPosition(
            segment: first.ordinal, offset: UInt32(BatonStore.Segment.headerBytes))
        for index in segments.indices {
            guard try walk(index, visit) else { return }
        }
        if end < proven { try visit(.hole) }
    }

    /// - Returns: whether to go on; `false` at a torn end.
    private mutating func walk(_ index: Int, _ visit: (Item) throws(StoreError) -> Void)
        throws(StoreError) -> Bool
    {
        let segment = segments[index]
        let file = unsafe Self.read(segment.ordinal, in: directory)
        defer { unsafe file.deallocate() }
        let bytes = UnsafeRawBufferPointer(file)
        var offset = BatonStore.Segment.headerBytes
        while offset <= bytes.count - Record.headerBytes {
            if let batch = unsafe Batch(bytes, at: offset, seed: segment.seed),
                batch.number > number, batch.epoch >= epoch
            {
                let follows = batch.number == number + 1 && batch.chain == chain
                let isWhole = unsafe batch.isWhole(bytes, seed: segment.seed)
                if !follows || !isWhole {
                    guard isDamage(at: end) else {
                        isEndUncertain = true
                        return false
                    }
                    if !follows { try visit(.hole) }
                }
                try visit(.next(sequence: batch.firstSequence))
                try unsafe read(batch, bytes, segment, isWhole: isWhole, index, visit)
                number = batch.number
                chain = batch.headerCRC
                epoch = batch.epoch
                offset = batch.range.upperBound
                end = LogPosition(segment: segment.ordinal, offset: UInt32(offset))
            } else if let stray = unsafe stray(in: bytes, at: offset, segment) {
                guard isDamage(at: end) else {
                    isEndUncertain = true
                    return false
                }
                offset = try unsafe read(stray, bytes, from: offset, segment, visit)
                end = LogPosition(segment: segment.ordinal, offset: UInt32(offset))
            } else {
                offset += 8
            }
        }
        return true
    }

    /// Whether a bad place at `place` is damage, by recovery's rule; else it is a torn end.
    private func isDamage(at place: LogPosition) -> Bool {
        // Segments before the oldest went when its first batch was durable, and the oldest had its
        // header before it had its name.
        let isFirstBatch =
            place.segment == segments[0].ordinal
            && (place.segment > 1 || segments[0].header == nil)
            && place.offset == UInt32(BatonStore.Segment.headerBytes)
        return isFirstBatch || place < proven
    }

    // MARK: A batch

    private func read(
        _ batch: Batch, _ bytes: UnsafeRawBufferPointer, _ segment: Segment, isWhole: Bool,
        _ index: Int, _ visit: (Item) throws(StoreError) -> Void
    ) throws(StoreError) {
        var items: [(record: Record, payload: Range<Int>, isValid: Bool)] = []
        var offset = batch.range.lowerBound + Mailbox.batchBytes
        while offset < batch.range.upperBound {
            guard let found = unsafe Record.findHeader(in: bytes, at: offset, seed: segment.seed),
                found.record.batch == UInt32(truncatingIfNeeded: batch.number),
                found.record.epoch == batch.epoch
            else {
                offset += 8
                continue
            }
            let isValid =
                unsafe isWhole
                || Record.find(in: bytes, at: offset, seed: segment.seed) != nil
            items.append((found.record, found.payload, isValid))
            offset += Record.size(payload: found.payload.count)
        }
        // Where a record is missing, was it a message? The numbers tell, if as many of them are
        // missing as records are.
        let missing = Int(batch.recordCount) - items.count
        let next = unsafe nextSequence(after: batch, bytes, segment, index)
        if missing > 0 {
            let messages = UInt64(items.count { $0.record.kind == .message } + missing)
            if next != batch.firstSequence &+ messages {
                let found = items.reduce(0) { $0 + Record.size(payload: $1.payload.count) }
                let lost = batch.range.count - Mailbox.batchBytes - found
                try visit(lost == missing * Record.headerBytes ? .lostEmpty : .hole)
            }
        }
        for (record, payload, isValid) in items {
            if isValid {
                let payload = unsafe UnsafeRawBufferPointer(rebasing: bytes[payload])
                try visit(unsafe .record(record, payload))
            } else {
                try visit(.lost(record))
            }
        }
        if let next { try visit(.next(sequence: next)) }
    }

    /// The number of the first message behind a batch, if what follows the batch says so.
    private func nextSequence(
        after batch: Batch, _ bytes: UnsafeRawBufferPointer, _ segment: Segment, _ index: Int
    ) -> UInt64? {
        let end = batch.range.upperBound
        if let next = unsafe Batch(bytes, at: end, seed: segment.seed),
            next.number == batch.number + 1
        {
            return next.firstSequence
        }
        if let footer = unsafe Record.find(in: bytes, at: end, seed: segment.seed),
            footer.record.kind == .footer
        {
            return footer.record.sequence
        }
        guard index + 1 < segments.count, let next = segments[index + 1].header,
            next.previousEnd == UInt32(end), next.firstBatch == batch.number + 1
        else { return nil }
        return next.firstSequence
    }

    // MARK: A batch without its header

    /// Records that are valid, but the header of their batch is not.
    private struct Stray {
        var number: UInt64
        var epoch: UInt32
    }

    private func stray(in bytes: UnsafeRawBufferPointer, at offset: Int, _ segment: Segment)
        -> Stray?
    {
        guard let found = unsafe Record.find(in: bytes, at: offset, seed: segment.seed),
            found.record.kind != .batch, found.record.kind != .footer, found.record.epoch >= epoch
        else { return nil }
        // The record bears the low half of its batch's number; the batch lies not far ahead.
        let ahead = found.record.batch &- UInt32(truncatingIfNeeded: number)
        guard ahead > 0, ahead < 1 << 24 else { return nil }
        return Stray(number: number + UInt64(ahead), epoch: found.record.epoch)
    }

    /// - Returns: where its records end.
    private mutating func read(
        _ stray: Stray, _ bytes: UnsafeRawBufferPointer, from start: Int, _ segment: Segment,
        _ visit: (Item) throws(StoreError) -> Void
    ) throws(StoreError) -> Int {
        func record(at offset: Int) -> Record.Found? {
            guard let found = unsafe Record.find(in: bytes, at: offset, seed: segment.seed),
                found.record.kind != .batch, found.record.kind != .footer,
                found.record.batch == UInt32(truncatingIfNeeded: stray.number),
                found.record.epoch == stray.epoch
            else { return nil }
            return found
        }
        var offset = start
        while let found = record(at: offset) {
            offset += Record.size(payload: found.payload.count)
        }
        // They are all of it if they fill the place between the batch before and the one behind.
        let isBegin =
            stray.number == number + 1
            && (end.segment == segment.ordinal
                ? start == Int(end.offset) + Mailbox.batchBytes
                : start == BatonStore.Segment.headerBytes + Mailbox.batchBytes)
        let next = unsafe Batch(bytes, at: offset, seed: segment.seed)
        let isAll = isBegin && next?.number == stray.number + 1
        if !isAll { try visit(.hole) }
        var place = start
        while place < offset, let found = record(at: place) {
            let payload = unsafe UnsafeRawBufferPointer(rebasing: bytes[found.payload])
            try visit(unsafe .record(found.record, payload))
            place += Record.size(payload: found.payload.count)
        }
        number = stray.number
        chain = isAll ? next?.chain : nil
        epoch = stray.epoch
        return offset
    }
}
