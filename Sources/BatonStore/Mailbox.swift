// A service's mailbox: the log that its messages, outcomes and switches are appended to.
// Used in batond, by the loop's thread.
//
// Invariants: what is appended gathers in one buffer, which `flush` writes with one pwrite as one
// batch; a host reads up to `readable`, which is always flushed; nothing counts as durable before
// `synced`; the first batch of every segment is a base record; a segment is sealed only when its
// successor is durable, so a sealed segment always has one.

import BatonCore
import BatonLinux
import CLinux
import Glibc

@safe package struct Mailbox: ~Copyable {
    package let service: ServiceName
    package private(set) var standing: Standing
    /// The last message appended.
    package private(set) var appended: SequenceNumber
    /// Up to where everything was durable at the last sync.
    package private(set) var durable: LogPosition
    package private(set) var durableSettled: SequenceNumber

    let directory: OpenFile
    var segments: [Segment]  // the last one is written
    var active: OpenFile
    private let epoch: UInt32
    private let byteLimit: Int

    // The batch being gathered, from its header on; empty if `filled` is 0.
    private var buffer: UnsafeMutableRawBufferPointer
    private var filled = 0
    private var recordCount: UInt32 = 0
    private var batchNumber: UInt64
    private var batchFirstSequence: UInt64 = 0
    private var chain: UInt32
    private var seed: UInt32
    /// Where in the active segment the next batch begins.
    private var offset: Int

    /// The cursor as the flushed batches have it.
    private var flushedSettled: SequenceNumber
    private var unsynced: [SyncTarget] = []
    private var activeIsDirty = false
    private var syncing: (position: LogPosition, settled: SequenceNumber)?
    private var unsealed: [(file: OpenFile, ordinal: UInt32, end: Int)] = []
    private var spare = Spare.none
    private var jobs: [DiskJob] = []

    private enum Spare: Equatable {
        case none, making
        case ready(byteCount: Int)
    }
    private var hasSpare: Bool {
        if case .ready = spare { true } else { false }
    }

    static let batchBytes = Record.size(payload: 32)
    private static let flushBytes = 1 << 20

    /// From what recovery found. `end` is where the next batch begins.
    init(
        service: ServiceName, directory: OpenFile, segments: [Segment], active: OpenFile,
        standing: Standing, appended: SequenceNumber, epoch: UInt32, batchNumber: UInt64,
        chain: UInt32, end: Int, hasSpareOf spareBytes: Int?, byteLimit: Int
    ) {
        guard let last = segments.last else { preconditionFailure("a mailbox has a segment") }
        self.service = service
        self.directory = directory
        self.segments = segments
        self.active = active
        self.standing = standing
        self.appended = appended
        self.epoch = epoch
        self.batchNumber = batchNumber
        self.chain = chain
        self.byteLimit = byteLimit
        seed = last.header.seed
        activeByteCount = last.byteCount
        offset = end
        durable = LogPosition(segment: last.ordinal, offset: UInt32(end))
        durableSettled = standing.settled
        flushedSettled = standing.settled
        if let spareBytes { spare = .ready(byteCount: spareBytes) }
        unsafe buffer = .allocate(byteCount: 64 << 10, alignment: 16)
    }

    deinit { unsafe buffer.deallocate() }

    /// Hosts may read up to here.
    package var readable: LogPosition {
        LogPosition(segment: activeSegment.ordinal, offset: UInt32(offset))
    }
    package var unsettledCount: UInt64 { appended.distance(from: standing.settled) }
    package var byteCount: Int { segments.reduce(0) { $0 + $1.byteCount } }
    /// Whether something is written that a sync would make durable.
    package var needsSync: Bool { activeIsDirty || !unsynced.isEmpty }

    private var activeSegment: Segment { segments[segments.count - 1] }
    /// Of the active segment; kept apart, for the hot path.
    private var activeByteCount: Int

    // MARK: Appending

    /// - Throws: `full` or `noRoom`, and nothing is appended; `system`, and the mailbox must not be used on.
    package mutating func append(_ message: UnsafeRawBufferPointer) throws(StoreError)
        -> SequenceNumber
    {
        let size = Record.size(payload: message.count)
        // The settling of what is there must not fail for a message that comes: until there is a
        // spare, some of the segment is kept for it.
        let kept = hasSpare ? 0 : max(min(activeByteCount / 8, 1 << 20), 4 * settleByteCount)
        try reserve(size, keeping: kept, isMessage: true)
        let number = appended.next
        unsafe put(.message, message, sequence: number.value)
        appended = number
        return number
    }

    /// What a settle record of a state like the present one takes.
    private var settleByteCount: Int { Record.size(payload: standing.state?.bytes.count ?? 0) }

    /// Everything up to `sequence` is handled; `state` is what it has become, if it changed.
    package mutating func settle(upTo sequence: SequenceNumber, state: [UInt8]?)
        throws(StoreError)
    {
        precondition(
            sequence <= appended && (sequence > standing.settled || state != nil),
            "settling \(sequence) of \(appended) after \(standing.settled)")
        try reserve(Record.size(payload: state?.count ?? 0))
        let flags = state == nil ? 0 : Record.hasState
        put(.settle, flags: flags, state ?? [], sequence: sequence.value)
        standing.settle(upTo: sequence, state: state)
    }

    /// A host died over this message.
    /// - Returns: how often that has happened now.
    package mutating func recordAttempt(at sequence: SequenceNumber) throws(StoreError) -> UInt32 {
        try reserve(Record.size(payload: 4))
        let count = (standing.attempts[sequence.value] ?? 0) &+ 1
        var writer = PayloadWriter()
        writer.put(count)
        put(.attempt, writer.bytes, sequence: sequence.value)
        standing.attempts[sequence.value] = count
        return count
    }

    /// Sets a message aside: hosts pass over it.
    package mutating func bury(_ sequence: SequenceNumber) throws(StoreError) {
        try reserve(Record.size(payload: 0))
        put(.deadLetter, [], sequence: sequence.value)
        standing.bury(sequence.value)
    }

    /// The record that makes an upgrade true: after what is settled now, `release` handles messages.
    package mutating func switchTo(_ release: Standing.Release) throws(StoreError) {
        let payload = release.encoded()
        try reserve(Record.size(payload: payload.count))
        put(.switch, payload, sequence: standing.settled.value)
        standing.switchTo(release, after: standing.settled)
    }

    /// Begins a new life of the mailbox: what an earlier one left beyond is barred.
    mutating func beginLife() throws(StoreError) {
        // The last life may have ended between a segment's header and its first batch.
        if offset == Segment.headerBytes { try writeBase() }
        try reserve(Record.size(payload: 0))
        put(.epoch, [], sequence: appended.value)
        try flush()
    }

    /// Ends a life in order, after everything was synced: one more batch, which says so. Damage
    /// before it can be told from a torn end.
    package mutating func endLife() throws(StoreError) {
        try reserve(Record.size(payload: 0))
        put(.epoch, [], sequence: appended.value)
        try flush()
    }

    /// The first batch of a segment: everything known, so that no older segment is needed for it.
    private mutating func writeBase() throws(StoreError) {
        let base = standing.encoded()
        grow(toHold: Self.batchBytes + Record.size(payload: base.count))
        beginBatch()
        put(.base, base, sequence: standing.settled.value)
        try flush()
    }

    private mutating func put(
        _ kind: RecordKind, flags: UInt8 = 0, _ payload: [UInt8], sequence: UInt64
    ) {
        unsafe payload.withUnsafeBytes {
            unsafe put(kind, flags: flags, $0, sequence: sequence)
        }
    }

    @inline(__always)
    private mutating func put(
        _ kind: RecordKind, flags: UInt8 = 0, _ payload: UnsafeRawBufferPointer, sequence: UInt64
    ) {
        guard let base = unsafe buffer.baseAddress else { return }
        let record = Record(
            kind: kind, flags: flags, payloadBytes: payload.count, sequence: sequence,
            batch: UInt32(truncatingIfNeeded: batchNumber), epoch: epoch)
        unsafe record.write(payload, to: base + filled, seed: seed, offset: offset + filled)
        filled += Record.size(payload: payload.count)
        recordCount &+= 1
    }

    /// Makes room for `size` bytes in the batch, beginning one, or another segment, if need be.
    @inline(__always)
    private mutating func reserve(_ size: Int, keeping kept: Int = 0, isMessage: Bool = false)
        throws(StoreError)
    {
        let inBatch = filled == 0 ? Self.batchBytes : filled
        let limit = activeByteCount - Segment.footerBytes - kept
        if offset + inBatch + size > limit || inBatch + size > Self.flushBytes {
            try reserveSlowly(size, keeping: kept, isMessage: isMessage)
        } else if unsafe buffer.count < inBatch + size {
            grow(toHold: inBatch + size)
        }
        if filled == 0 { beginBatch() }
    }

    private mutating func reserveSlowly(_ size: Int, keeping kept: Int, isMessage: Bool)
        throws(StoreError)
    {
        try flush()
        let needed = Self.batchBytes + size + Segment.footerBytes + kept
        if offset + needed > activeByteCount {
            // A single segment, all of it settled, goes as soon as there is another.
            if isMessage, byteCount >= byteLimit, segments.count > 1 || unsettledCount > 0 {
                throw .full(limit: byteLimit)
            }
            try roll(toHold: needed)
        }
        grow(toHold: Self.batchBytes + size)
    }

    private mutating func grow(toHold needed: Int) {
        guard unsafe buffer.count < needed else { return }
        var count = unsafe buffer.count
        while count < needed { count *= 2 }
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
        unsafe buffer.deallocate()
        unsafe buffer = larger
    }

    private mutating func beginBatch() {
        filled = Self.batchBytes
        recordCount = 0
        batchNumber += 1
        batchFirstSequence = appended.value + 1
    }

    // MARK: Writing

    /// Writes the gathered batch: one pwrite.
    package mutating func flush() throws(StoreError) {
        guard filled > 0, let base = unsafe buffer.baseAddress else { return }
        unsafe base.storeBytes(of: recordCount, toByteOffset: 32, as: UInt32.self)
        unsafe base.storeBytes(of: UInt32(filled), toByteOffset: 36, as: UInt32.self)
        unsafe base.storeBytes(of: durable.word, toByteOffset: 40, as: UInt64.self)
        unsafe base.storeBytes(of: chain, toByteOffset: 48, as: UInt32.self)
        unsafe base.storeBytes(of: 0, toByteOffset: 52, as: UInt32.self)
        unsafe base.storeBytes(of: batchFirstSequence, toByteOffset: 56, as: UInt64.self)
        let header = Record(
            kind: .batch, payloadBytes: 32, sequence: batchNumber,
            batch: UInt32(truncatingIfNeeded: batchNumber), epoch: epoch)
        chain = unsafe header.writeHeader(
            payloadCRC: baton_crc32c(0, base + 32, 32), to: base, seed: seed, offset: offset)
        do throws(SystemError) {
            try unsafe active.descriptor.write(
                UnsafeRawBufferPointer(start: base, count: filled), at: offset)
        } catch { throw .system(error) }
        segments[segments.count - 1].note(batchAt: offset, firstSequence: batchFirstSequence)
        segments[segments.count - 1].endSequence = appended.value + 1
        flushedSettled = standing.settled
        offset += filled
        filled = 0
        activeIsDirty = true
        if spare == .none, offset > activeByteCount / 2 {
            spare = .making
            jobs.append(
                .makeSpare(service, directory: directory, byteCount: nextByteCount(toHold: 0)))
        }
    }

    private func nextByteCount(toHold needed: Int) -> Int {
        let doubled = min(activeByteCount * 2, FixedLimits.lastSegmentBytes)
        let least = Segment.headerBytes + baseBatchBytes + needed + (64 << 10)
        return (max(doubled, least) + 4095) & ~4095
    }

    private var baseBatchBytes: Int {
        Self.batchBytes + Record.size(payload: standing.encoded().count)
    }

    /// Goes on in another segment: the spare, or one made now.
    private mutating func roll(toHold needed: Int) throws(StoreError) {
        let ordinal = activeSegment.ordinal + 1
        let name = Segment.fileName(ordinal)
        let least = nextByteCount(toHold: needed)
        let byteCount: Int
        do throws(SystemError) {
            if case .ready(let ready) = spare,
                ready >= min(least, FixedLimits.lastSegmentBytes),
                ready >= Segment.headerBytes + baseBatchBytes + needed
            {
                byteCount = ready
                try SegmentFile.rename(SegmentFile.spare, to: name, in: directory)
                spare = .none
            } else {
                byteCount = least
                try SegmentFile.make(name, in: directory, byteCount: byteCount)
                // A spare that is too small now will always be; another is made in its place.
                if hasSpare { spare = .none }
            }
        } catch {
            guard [ENOSPC, EDQUOT, EFBIG, EMFILE, ENFILE].contains(error.code) else {
                throw .system(error)
            }
            throw .noRoom("another segment of \(service)'s mailbox (\(error))")
        }
        let header = Segment.Header(
            mailbox: activeSegment.header.mailbox, ordinal: ordinal, byteCount: byteCount,
            firstSequence: appended.value + 1, firstBatch: batchNumber + 1, epoch: epoch,
            previousEnd: UInt32(offset), previousChain: chain)
        let directory = directory
        let file = try StoreError.wrap { () throws(SystemError) in
            let file = OpenFile(try .open(name, in: directory.number, flags: O_RDWR))
            try file.writePage(header.encoded())
            return file
        }
        if activeIsDirty { unsynced.append(SyncTarget(active, dataOnly: true)) }
        unsynced.append(SyncTarget(directory, dataOnly: false))
        unsealed.append((active, activeSegment.ordinal, offset))
        active = file
        activeIsDirty = true
        segments.append(Segment(header: header))
        seed = header.seed
        activeByteCount = byteCount
        offset = Segment.headerBytes
        try writeBase()
    }

    // MARK: Durability

    /// What to sync so that everything flushed is durable; `synced` follows when it is.
    package mutating func takeSync() -> [SyncTarget] {
        precondition(syncing == nil, "one sync at a time")
        var targets = unsynced
        unsynced = []
        if activeIsDirty { targets.insert(SyncTarget(active, dataOnly: true), at: 0) }
        activeIsDirty = false
        syncing = (readable, flushedSettled)
        return targets
    }

    /// Whether a sync would let a segment go that nothing needs any more.
    package var couldLetGo: Bool {
        syncing == nil && segments.count > 1
            && segments[0].endSequence <= standing.settled.value + 1
    }

    /// What `takeSync` gave is durable: seals and lets go of segments.
    package mutating func synced() throws(StoreError) {
        guard let covered = syncing else { preconditionFailure("nothing was being synced") }
        syncing = nil
        durable = covered.position
        durableSettled = covered.settled
        while segments.count > 1, segments[0].ordinal < durable.segment,
            segments[0].endSequence <= durableSettled.value + 1
        {
            let done = segments.removeFirst()
            unsealed.removeAll { $0.ordinal == done.ordinal }
            if spare == .none, done.byteCount == FixedLimits.lastSegmentBytes {
                spare = .making
                jobs.append(
                    .recycle(
                        service, directory: directory, ordinal: done.ordinal,
                        byteCount: done.byteCount))
            } else {
                jobs.append(.remove(directory: directory, ordinals: [done.ordinal]))
            }
        }
        try seal()
    }

    private mutating func seal() throws(StoreError) {
        while let first = unsealed.first, first.ordinal < durable.segment {
            unsealed.removeFirst()
            guard let segment = segments.first(where: { $0.ordinal == first.ordinal }) else {
                continue
            }
            var writer = PayloadWriter()
            writer.put(UInt64(first.end))
            writer.put(segment.endSequence)
            let record = Record(
                kind: .footer, payloadBytes: 16, sequence: segment.endSequence, batch: 0,
                epoch: epoch)
            let seed = segment.header.seed
            var bytes = [UInt8](repeating: 0, count: Segment.footerBytes)
            unsafe bytes.withUnsafeMutableBytes { buffer in
                guard let base = buffer.baseAddress else { return }
                unsafe writer.bytes.withUnsafeBytes { payload in
                    _ = unsafe record.write(payload, to: base, seed: seed, offset: first.end)
                }
            }
            try StoreError.wrap { () throws(SystemError) in
                try first.file.write(bytes, at: first.end)
            }
            unsynced.append(SyncTarget(first.file, dataOnly: true))
        }
    }

    /// What the housekeeping thread should do.
    package mutating func takeJobs() -> [DiskJob] {
        defer { jobs.removeAll(keepingCapacity: true) }
        return jobs
    }

    /// A spare was made, or could not be.
    package mutating func spareIsReady(byteCount: Int, failed: Bool) {
        spare = failed ? .none : .ready(byteCount: byteCount)
    }

    // MARK: Reading

    /// A place at or before the message `sequence`, from where a host finds it.
    package func position(of sequence: SequenceNumber) -> LogPosition {
        guard let segment = segments.first(where: { $0.endSequence > sequence.value }) else {
            return readable
        }
        let offset =
            segment.index.last { $0.sequence <= sequence.value }?.offset
            ?? UInt32(Segment.headerBytes)
        return LogPosition(segment: segment.ordinal, offset: offset)
    }

    /// The segments from `ordinal` on, as a host is told of them.
    package func segments(from ordinal: UInt32) -> [(
        ordinal: UInt32, byteCount: UInt32, previousEnd: UInt32
    )] {
        segments.filter { $0.ordinal >= ordinal }.map {
            ($0.ordinal, UInt32($0.byteCount), $0.header.previousEnd)
        }
    }

    package func openForReading(_ ordinal: UInt32) throws(StoreError) -> Descriptor {
        let directory = directory
        return try StoreError.wrap { () throws(SystemError) in
            try .open(Segment.fileName(ordinal), in: directory.number, flags: O_RDONLY)
        }
    }
}

extension OpenFile {
    package func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
        var failed: SystemError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(SystemError) { try unsafe descriptor.write(buffer, at: offset) } catch {
                failed = error
            }
        }
        if let failed { throw failed }
    }

    /// Writes `bytes` and zeros to the end of the first page.
    func writePage(_ bytes: [UInt8]) throws(SystemError) {
        try write(
            bytes + [UInt8](repeating: 0, count: Segment.headerBytes - bytes.count), at: 0)
    }
}
