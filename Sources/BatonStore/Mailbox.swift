// A service's mailbox: the log that its messages, outcomes and switches are appended to.
// Used in batond, by the loop's thread.
// MailboxDurability.swift makes it durable and lets go of it, Retention.swift says what of it stays,
// MailboxRoom.swift what is kept free in it, MailboxReading.swift finds what is in it,
// MailboxCheckpoints.swift keeps large states beside it.
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
    package private(set) var standing: MailboxMachine
    /// The last message appended.
    package private(set) var appended: SequenceNumber
    /// Up to where everything was durable at the last sync.
    package internal(set) var durable: LogPosition
    /// How much of that the active segment's header page says.
    private var marked: LogPosition
    /// Messages after this one must stay in the log, for who reads them once more.
    package var keepFrom: SequenceNumber?

    let directory: OpenFile
    var segments: [Segment]  // the last one is written
    var active: OpenFile
    let epoch: UInt32
    /// Bytes of unsettled records that it takes.
    package var byteLimit: Int
    /// A state of more bytes lies in a slot.
    package var inlineStateBytes = FixedLimits.inlineStateBytes
    /// The state's slot is damaged: this one leads there again. Until then nobody may go on from it.
    package private(set) var lost: MailboxMachine.Earlier?
    let variant: StoreVariant

    // The batch being gathered, from its header on; empty if `filled` is 0.
    private var buffer: UnsafeMutableRawBufferPointer
    private(set) var filled = 0
    private var recordCount: UInt32 = 0
    private var batchNumber: UInt64
    private var batchFirstSequence: UInt64 = 0
    private var chain: UInt32
    private var seed: UInt32
    /// Where in the active segment the next batch begins.
    private(set) var offset: Int

    /// What is needed of the messages, as the flushed batches have it.
    var flushedNeeded: SequenceNumber
    /// Which slots records name.
    var slots: SlotsNamed
    var unsynced: [SyncTarget] = []
    var activeIsDirty = false
    var syncing: (position: LogPosition, needed: SequenceNumber, byteCount: Int)?
    /// Written since the last sync that has come to its end.
    package internal(set) var unsyncedByteCount = 0
    var unsealed: [(file: OpenFile, ordinal: UInt32, end: Int)] = []
    var spare = Spare.none
    var retired = Retired()
    var jobs: [DiskJob] = []

    enum Spare: Equatable {
        case none, making
        case ready(byteCount: Int)
    }
    /// No spare can be made: the disk is full.
    var isSpareDenied = false
    /// What of the active segment is kept until there is a spare, see MailboxRoom.swift.
    var kept = 0
    /// What the settling of one message may take.
    var settleBytes = Mailbox.batchBytes

    static let batchBytes = Record.size(payload: 32)
    private static let flushBytes = 1 << 20

    /// From what recovery found. `end` is where the next batch begins.
    init(
        service: ServiceName, directory: OpenFile, segments: [Segment], active: OpenFile,
        standing: MailboxMachine, appended: SequenceNumber, epoch: UInt32, batchNumber: UInt64,
        chain: UInt32, end: Int, hasSpareOf spareBytes: Int?, byteLimit: Int,
        variant: StoreVariant, lost: MailboxMachine.Earlier?
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
        self.variant = variant
        seed = variant.seed(of: last.header)
        activeByteCount = last.byteCount
        offset = end
        durable = LogPosition(segment: last.ordinal, offset: UInt32(end))
        marked = LogPosition(word: 0)
        flushedNeeded = standing.needed
        self.lost = lost
        slots = SlotsNamed(standing.slotsNamed)
        if let spareBytes { spare = .ready(byteCount: spareBytes) }
        unsafe buffer = .allocate(byteCount: 64 << 10, alignment: 16)
        reckon()
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

    var isSyncing: Bool { syncing != nil }
    var activeSegment: Segment { segments[segments.count - 1] }
    /// Of the active segment; kept apart, for the hot path.
    private(set) var activeByteCount: Int

    // MARK: Appending

    /// - Throws: `full` or `noRoom`, and nothing is appended; `system`, and the mailbox must not be used on.
    package mutating func append(_ message: UnsafeRawBufferPointer) throws(StoreError)
        -> SequenceNumber
    {
        try reserveMessage(Record.size(payload: message.count))
        let number = appended.next
        unsafe put(.message, message, sequence: number.value)
        appended = number
        return number
    }

    /// A message that bears its client's id.
    /// - Throws: as above; `idsFull` too, and nothing is appended.
    package mutating func append(
        _ message: UnsafeRawBufferPointer, as identity: IDWindow.Identity,
        within bounds: IDWindow.Bounds
    ) throws(StoreError) -> SequenceNumber {
        let entry = IDWindow.Entry(sequence: appended.next.value, identity: identity, answer: nil)
        let forgotten = standing.ids.forgettable(
            adding: entry.byteCount, isEntry: true, settled: standing.settled.value,
            at: identity.at, bounds)
        guard forgotten > 0 || standing.ids.count < bounds.count else {
            throw .idsFull(count: standing.ids.count)
        }
        let payload = identity.encoded(forgetting: forgotten)
        try reserveMessage(
            Record.size(payload: message.count) + Record.size(payload: payload.count))
        let number = appended.next
        unsafe put(.message, message, sequence: number.value)
        appended = number
        put(.identity, payload, sequence: number.value)
        let fits = standing.ids.remember(identity, sequence: number.value, forgetting: forgotten)
        precondition(fits, "an id for message \(number)")
        reckon()
        return number
    }

    /// Ids that were answered in an earlier life are as old as this one.
    /// - Parameter at: milliseconds since 1970.
    package mutating func remembersIDs(from at: UInt64) { standing.ids.begun = at }

    /// What the sender of a message with an id is told; it counts when the message is settled.
    /// - Parameter at: milliseconds since 1970.
    package mutating func answer(
        _ sequence: SequenceNumber, _ answer: IDWindow.Answer, at: UInt64,
        within bounds: IDWindow.Bounds
    ) throws(StoreError) {
        guard standing.ids.entry(of: sequence.value) != nil else { return }
        let forgotten = standing.ids.forgettable(
            adding: 4 + answer.byteCount, isEntry: false, settled: standing.settled.value, at: at,
            bounds)
        let payload = answer.encoded(forgetting: forgotten)
        try reserve(Record.size(payload: payload.count))
        put(.answer, payload, sequence: sequence.value)
        _ = standing.ids.answer(sequence.value, answer, at: at, forgetting: forgotten)
        reckon()
    }

    /// Everything up to `sequence` is handled; `state` is what it has become, if it changed.
    /// - Parameter format: the number its maker has declared for this form of state; 0 if none.
    package mutating func settle(upTo sequence: SequenceNumber, state: [UInt8]?, format: UInt32 = 0)
        throws(StoreError)
    {
        precondition(
            sequence <= appended && (sequence > standing.settled || state != nil),
            "settling \(sequence) of \(appended) after \(standing.settled)")
        if let state {
            let first = format == 0 ? nil : format
            try reserve(Record.size(payload: state.count + (first == nil ? 0 : 4)))
            let flags = Record.hasState | (first == nil ? 0 : Record.hasFormat)
            put(.settle, flags: flags, state, after: first, sequence: sequence.value)
        } else {
            try reserve(Record.size(payload: 0))
            put(.settle, [], sequence: sequence.value)
        }
        let fits = standing.settle(upTo: sequence, state: state, format: format)
        precondition(fits, "settling \(sequence) after \(standing.settled)")
        if state != nil { reckon() }
        slots.note(standing.slotsNamed)
    }

    /// The same with a state in a slot; a copy is the state there was, in another slot.
    mutating func settle(
        upTo sequence: SequenceNumber, slotted state: MailboxMachine.State, isCopy: Bool
    ) throws(StoreError) {
        let payload = state.encodedWherever()
        try reserve(Record.size(payload: payload.count))
        let flags = Record.namesSlot | (isCopy ? Record.isCopy : 0)
        put(.settle, flags: flags, payload, sequence: sequence.value)
        let fits = standing.settle(upTo: sequence, slotted: state, isCopy: isCopy)
        precondition(fits, "settling \(sequence) after \(standing.settled)")
        reckon()
        slots.note(standing.slotsNamed)
    }

    /// A host died over this message.
    /// - Returns: how often that has happened now.
    package mutating func recordAttempt(at sequence: SequenceNumber) throws(StoreError) -> UInt32 {
        try reserve(Record.size(payload: 4))
        let count = (standing.attempts[sequence.value] ?? 0) &+ 1
        var writer = PayloadWriter()
        writer.put(count)
        put(.attempt, writer.bytes, sequence: sequence.value)
        standing.recordAttempt(at: sequence.value, count: count)
        return count
    }

    /// Sets a message aside: hosts pass over it, and it is kept among the dead letters.
    /// - Parameters:
    ///   - version: of the release that it killed.
    ///   - at: milliseconds since 1970.
    package mutating func bury(
        _ sequence: SequenceNumber, attempts: UInt32, version: String, at: UInt64, bytes: [UInt8]
    ) throws(StoreError) {
        guard standing.canBury(sequence.value) else { return }
        guard standing.hasRoom(forLetterOf: bytes.count) else {
            throw .deadLettersFull(count: standing.deadLetters.count)
        }
        let letter = MailboxMachine.DeadLetter(
            sequence: sequence.value, attempts: attempts, version: version, at: at, bytes: bytes)
        let payload = letter.encoded()
        try reserve(Record.size(payload: payload.count))
        put(.deadLetter, payload, sequence: sequence.value)
        _ = standing.bury(sequence.value, letter)
        reckon()
    }

    /// A dead letter was delivered again, or is discarded.
    /// - Returns: whether there is one of this number.
    package mutating func forget(_ sequence: SequenceNumber) throws(StoreError) -> Bool {
        guard standing.deadLetters.contains(where: { $0.sequence == sequence.value }) else {
            return false
        }
        try reserve(Record.size(payload: 0))
        put(.forget, [], sequence: sequence.value)
        return standing.forget(sequence.value)
    }

    /// The record that makes an upgrade, or a rollback, true: after what is settled now, its release
    /// handles messages.
    package mutating func switchTo(_ new: MailboxMachine.Switch) throws(StoreError) {
        let payload = new.encoded()
        try reserve(Record.size(payload: payload.count))
        put(.switch, payload, sequence: standing.settled.value)
        standing.apply(new)
        if new.state != nil || new.dropsState { lost = nil }
        reckon()
        slots.note(standing.slotsNamed)
    }

    /// The release is provisional no longer. If it is not, nothing is written.
    package mutating func confirm() throws(StoreError) {
        guard standing.fallback != nil else { return }
        try reserve(Record.size(payload: 0))
        put(.confirm, [], sequence: standing.settled.value)
        _ = standing.confirm()
        slots.note(standing.slotsNamed)
    }

    /// Begins a new life of the mailbox: what an earlier one left beyond is barred.
    mutating func beginLife() throws(StoreError) {
        // The last life may have ended between a segment's header and its first batch.
        if offset == Segment.headerBytes { try writeBase() }
        // An older Baton must not take records for invalid that it does not know: they stand in
        // segments that say so.
        if activeSegment.header.version < Segment.formatVersion { try roll(toHold: 0) }
        try reserve(Record.size(payload: 0), keeping: 0)
        put(.epoch, [], sequence: appended.value)
        try flush()
    }

    /// Says in the header page how far the log is durable: damage before that can be told from a torn
    /// end. It needs no room, and nobody waits for it.
    package mutating func mark() throws(StoreError) {
        guard wantsMark else { return }
        let position = variant.without == .mark ? readable : durable
        do throws(SystemError) {
            try active.write(PageMark.encoded(position, seed: seed), at: PageMark.offset)
        } catch { throw .system(error) }
        marked = durable
        activeIsDirty = true
    }
    /// Whether more is durable than the header page says. (Of the segments before this one's header does.)
    package var wantsMark: Bool {
        marked < durable && durable.segment == activeSegment.ordinal
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
        _ kind: RecordKind, flags: UInt8 = 0, _ payload: [UInt8], after first: UInt32? = nil,
        sequence: UInt64
    ) {
        unsafe payload.withUnsafeBytes {
            unsafe put(kind, flags: flags, $0, after: first, sequence: sequence)
        }
    }

    @inline(__always)
    private mutating func put(
        _ kind: RecordKind, flags: UInt8 = 0, _ payload: UnsafeRawBufferPointer,
        after first: UInt32? = nil, sequence: UInt64
    ) {
        guard let base = unsafe buffer.baseAddress else { return }
        let count = payload.count + (first == nil ? 0 : 4)
        let record = Record(
            kind: kind, flags: flags, payloadBytes: count, sequence: sequence,
            batch: UInt32(truncatingIfNeeded: batchNumber), epoch: epoch)
        unsafe record.write(
            payload, after: first, to: base + filled, seed: seed, offset: offset + filled)
        filled += Record.size(payload: count)
        recordCount &+= 1
    }

    @inline(__always)
    private mutating func reserveMessage(_ size: Int) throws(StoreError) {
        try expectRoom(for: size)
        try reserve(size, keeping: keptForSettling, isMessage: true)
    }

    /// Makes room for `size` bytes in the batch, beginning one, or another segment, if need be.
    @inline(__always)
    private mutating func reserve(_ size: Int, keeping kept: Int? = nil, isMessage: Bool = false)
        throws(StoreError)
    {
        let kept = kept ?? keptForLives
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
            if isMessage, isFull(byteLimit) { throw .full(limit: byteLimit) }
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
        let mark = variant.without == .mark ? readable : durable
        unsafe base.storeBytes(of: mark.word, toByteOffset: 40, as: UInt64.self)
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
        flushedNeeded = standing.needed
        slots.flushed(standing.slotsNamed)
        offset += filled
        unsyncedByteCount += filled
        filled = 0
        activeIsDirty = true
        if offset > activeByteCount / 2 || settlingByteCount > activeByteCount / 4 { seekSpare() }
    }

    /// Goes on in another segment: the spare, or one made now.
    mutating func roll(toHold needed: Int) throws(StoreError) {
        let ordinal = activeSegment.ordinal + 1
        let name = Segment.fileName(ordinal)
        let least = nextByteCount(toHold: needed)
        let byteCount: Int
        do throws(SystemError) {
            if case .ready(let ready) = spare,
                ready >= min(least, variant.lastSegmentBytes),
                ready >= Segment.headerBytes + baseBatchBytes + needed
            {
                byteCount = ready
                try SegmentFile.rename(SegmentFile.spare, to: name, in: directory)
                spare = .none
            } else {
                byteCount = least
                try SegmentFile.make(name, in: directory, byteCount: byteCount)
                // A spare that is too small now will always be; another is made in its place.
                if case .ready = spare { spare = .none }
            }
        } catch {
            guard error.meansNoRoom else { throw .system(error) }
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
        seed = variant.seed(of: header)
        activeByteCount = byteCount
        offset = Segment.headerBytes
        try writeBase()
        reckon()
    }
}
