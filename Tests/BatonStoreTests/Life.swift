// A mailbox as batond uses it, from recovery to whatever ends it: appended to, flushed, synced, and
// its housekeeping done. Dropping it is a kill -9.

import BatonCore
import BatonLinux
import BatonStore

final class Life {
    private(set) var mailbox: Mailbox
    let report: Recovery.Report
    /// What was durable at the last sync.
    private(set) var acknowledged: Known
    private var syncing: (known: Known, targets: [SyncTarget])?
    var isSyncing: Bool { syncing != nil }

    /// What a mailbox knows.
    struct Known: Equatable, Sendable {
        var appended = SequenceNumber.none
        var standing = MailboxMachine()
    }

    init(
        _ directory: TemporaryDirectory, byteLimit: Int = 1 << 30, variant: StoreVariant = .standard
    ) throws(StoreError) {
        guard let service = ServiceName("test") else { preconditionFailure("a good name") }
        var report = Recovery.Report()
        mailbox = try Recovery.open(
            service: service, path: directory.path, byteLimit: byteLimit, variant: variant,
            report: &report)
        self.report = report
        acknowledged = Known(appended: mailbox.appended, standing: mailbox.standing)
    }

    var known: Known { Known(appended: mailbox.appended, standing: mailbox.standing) }

    /// The bytes of message `sequence` in every test: known beforehand, and different for each.
    static func message(_ sequence: UInt64, count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: sequence &* 31 &+ UInt64($0) &* 7 &+ 1) }
    }

    @discardableResult
    func append(_ count: Int) throws(StoreError) -> SequenceNumber {
        let bytes = Self.message(mailbox.appended.next.value, count: count)
        return try append(bytes)
    }

    @discardableResult
    func append(_ bytes: [UInt8]) throws(StoreError) -> SequenceNumber {
        let result = unsafe bytes.withUnsafeBytes { bytes in
            Result { () throws(StoreError) in try unsafe mailbox.append(bytes) }
        }
        return try result.get()
    }

    /// What is remembered in every test: little, so that some is forgotten.
    static let ids = IDWindow.Bounds(count: 5, bytes: 1000, ageMilliseconds: 1 << 40)

    /// A message with its number as its id.
    @discardableResult
    func appendWithID(_ count: Int) throws(StoreError) -> SequenceNumber {
        let next = mailbox.appended.next.value
        let bytes = Self.message(next, count: count)
        let identity = IDWindow.Identity(
            key: IDWindow.Key(client: Array("client".utf8), id: Array("\(next)".utf8)),
            digest: UInt128(next) << 64 | 9, at: next)
        let result = unsafe bytes.withUnsafeBytes { bytes in
            Result { () throws(StoreError) in
                try unsafe mailbox.append(bytes, as: identity, within: Self.ids)
            }
        }
        return try result.get()
    }

    func answer(_ sequence: UInt64, _ answer: IDWindow.Answer) throws(StoreError) {
        try mailbox.answer(SequenceNumber(sequence), answer, at: sequence, within: Self.ids)
    }

    func settle(_ sequence: UInt64, state: String? = nil, format: UInt32 = 0) throws(StoreError) {
        try mailbox.settle(
            upTo: SequenceNumber(sequence), state: state.map { Array($0.utf8) }, format: format)
    }
    /// Settles everything appended.
    func settleAll(state: String? = nil) throws(StoreError) {
        guard mailbox.unsettledCount > 0 || state != nil else { return }
        try settle(mailbox.appended.value, state: state)
    }
    func attempt(_ sequence: UInt64) throws(StoreError) {
        _ = try mailbox.recordAttempt(at: SequenceNumber(sequence))
    }
    func settle(_ sequence: UInt64, bytes: [UInt8]) throws(StoreError) {
        try mailbox.settle(upTo: SequenceNumber(sequence), state: bytes, format: 1)
    }
    func bury(_ sequence: UInt64, count: Int = 5) throws(StoreError) {
        try bury(sequence, bytes: Self.message(sequence, count: count))
    }
    func bury(_ sequence: UInt64, bytes: [UInt8]) throws(StoreError) {
        try mailbox.bury(
            SequenceNumber(sequence), attempts: UInt32(bytes.count) + 1,
            version: mailbox.standing.release?.version ?? "", at: sequence &* 1000, bytes: bytes)
    }
    func mark() throws(StoreError) { try mailbox.mark() }
    func forget(_ sequence: UInt64) throws(StoreError) {
        _ = try mailbox.forget(SequenceNumber(sequence))
    }
    func message(_ sequence: UInt64) throws(StoreError) -> [UInt8]? {
        try mailbox.message(SequenceNumber(sequence))
    }
    func keep(from sequence: SequenceNumber?) { mailbox.keepFrom = sequence }
    func confirm() throws(StoreError) { try mailbox.confirm() }

    /// Every version has an image of its own.
    static func release(_ version: String) -> MailboxMachine.Release {
        let sum = version.utf8.reduce(7 as UInt64) { $0 &* 31 &+ UInt64($1) }
        let bytes = (0..<32 as Range<UInt64>).map { UInt8(truncatingIfNeeded: sum >> ($0 % 8 * 8)) }
        guard let digest = ImageDigest(bytes) else { preconditionFailure("32 bytes") }
        return MailboxMachine.Release(digest: digest, version: version)
    }

    func switchTo(
        _ version: String, _ cause: MailboxMachine.Cause = .upgrade, state: String? = nil,
        dropsState: Bool = false
    ) throws(StoreError) {
        let state = state.map {
            MailboxMachine.State(bytes: Array($0.utf8), version: version, format: 9)
        }
        try mailbox.switchTo(
            MailboxMachine.Switch(
                release: Self.release(version), cause: cause, at: mailbox.appended.value &+ 7,
                bootID: Array(1...16), state: state, dropsState: dropsState))
    }

    func flush() throws(StoreError) { try mailbox.flush() }

    /// Makes everything durable and lets go of what is not needed.
    func sync() throws(StoreError) {
        try flush()
        beginSync()
        try endSync()
        keepHouse()
    }

    /// Takes what is to be synced; what is written from here on is not part of it.
    func beginSync() {
        syncing = (known, mailbox.takeSync())
    }
    /// The disk does what `beginSync` took; what is written from here on is not part of it.
    func runSync() throws(StoreError) {
        guard let begun = syncing else { return }
        syncing?.targets = []
        if case .synced(let error?) = DiskJob.perform(.sync(begun.targets)) {
            syncing = nil
            throw .system(error)
        }
    }
    /// - Returns: what is durable now.
    @discardableResult
    func endSync() throws(StoreError) -> Known {
        try runSync()
        guard let begun = syncing else { return acknowledged }
        syncing = nil
        try mailbox.synced()
        acknowledged = begun.known
        return acknowledged
    }

    /// - Returns: the jobs there were at first.
    @discardableResult
    func keepHouse() -> [DiskJob] {
        let jobs = mailbox.takeJobs()
        var rest = jobs
        while !rest.isEmpty {
            for job in rest { perform(job) }
            rest = mailbox.takeJobs()
        }
        return jobs
    }

    func takeJobs() -> [DiskJob] { mailbox.takeJobs() }

    func perform(_ job: DiskJob) {
        switch DiskJob.perform(job) {
        case .spare(_, let byteCount, let error):
            mailbox.spareIsReady(byteCount: byteCount, failed: error != nil)
        case .gone(_, let count, let error):
            mailbox.areGone(count, failed: error != nil)
        case .synced, .imageKept, .checkpoint: break
        }
    }

    // MARK: Large states

    var lost: MailboxMachine.Earlier? { mailbox.lost }
    var wantsCopy: Bool { mailbox.wantsCopy }

    func settle(_ sequence: UInt64, written: CheckpointSlot.Written) throws(StoreError) {
        try mailbox.settle(upTo: SequenceNumber(sequence), written: written, format: 3)
    }

    /// The bytes of a large state in every test.
    static func state(_ number: UInt64, count: Int = 5000) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number &* 41 &+ UInt64($0) &* 3 &+ 5) }
    }

    /// Makes a state durable in a slot, as the checkpoint thread does.
    func checkpoint(_ bytes: [UInt8]) throws(CheckpointSlot.Failure) -> CheckpointSlot.Written? {
        guard let order = mailbox.checkpointOrder(.bytes(bytes)) else { return nil }
        guard case .checkpoint(_, let result) = DiskJob.perform(.checkpoint(mailbox.service, order))
        else { return nil }
        return try result.get()
    }

    /// Settles with a state in a slot.
    func settle(_ sequence: UInt64, large bytes: [UInt8], format: UInt32 = 0) throws(StoreError) {
        let written = try slotted(bytes)
        try mailbox.settle(upTo: SequenceNumber(sequence), written: written, format: format)
    }

    /// Copies the state into another slot.
    func copyState() throws(StoreError) {
        guard let state = mailbox.standing.state else { return }
        try mailbox.settle(copy: slotted(state.bytes))
    }

    /// A rollback by itself, to a state in a slot.
    func switchTo(_ version: String, _ cause: MailboxMachine.Cause, large bytes: [UInt8])
        throws(StoreError)
    {
        let state = MailboxMachine.State(
            bytes: bytes, version: version, format: 9, checkpoint: try slotted(bytes).checkpoint)
        try mailbox.switchTo(
            MailboxMachine.Switch(
                release: Self.release(version), cause: cause, at: mailbox.appended.value &+ 7,
                bootID: Array(1...16), state: state))
    }

    /// Where no slot is free, a sync frees one: as the service does.
    private func slotted(_ bytes: [UInt8]) throws(StoreError) -> CheckpointSlot.Written {
        do {
            if let written = try checkpoint(bytes) { return written }
            if isSyncing { try endSync() }
            try flush()
            beginSync()
            try endSync()
            if let written = try checkpoint(bytes) { return written }
            preconditionFailure("no slot is free after a sync")
        } catch let error as CheckpointSlot.Failure {
            switch error {
            case .noRoom(let error): throw .noRoom("\(error)")
            case .system(let error): throw .system(error)
            case .tooShort: throw .corrupt(place: "a slot", reason: "too short")
            }
        } catch let error as StoreError { throw error } catch {
            preconditionFailure("\(error)")
        }
    }
}
