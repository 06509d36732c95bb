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
        var appended: SequenceNumber
        var standing: Standing
    }

    init(_ directory: TemporaryDirectory, byteLimit: Int = 1 << 30) throws(StoreError) {
        guard let service = ServiceName("test") else { preconditionFailure("a good name") }
        var report = Recovery.Report()
        mailbox = try Recovery.open(
            service: service, path: directory.path, byteLimit: byteLimit, report: &report)
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

    func settle(_ sequence: UInt64, state: String? = nil) throws(StoreError) {
        try mailbox.settle(upTo: SequenceNumber(sequence), state: state.map { Array($0.utf8) })
    }
    /// Settles everything appended.
    func settleAll(state: String? = nil) throws(StoreError) {
        guard mailbox.unsettledCount > 0 || state != nil else { return }
        try settle(mailbox.appended.value, state: state)
    }
    func attempt(_ sequence: UInt64) throws(StoreError) {
        _ = try mailbox.recordAttempt(at: SequenceNumber(sequence))
    }
    func bury(_ sequence: UInt64) throws(StoreError) { try mailbox.bury(SequenceNumber(sequence)) }
    func switchTo(_ version: String) throws(StoreError) {
        guard let digest = ImageDigest([UInt8](repeating: 0xd1, count: 32)) else { return }
        try mailbox.switchTo(Standing.Release(digest: digest, version: version))
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
    /// - Returns: what is durable now.
    @discardableResult
    func endSync() throws(StoreError) -> Known {
        guard let begun = syncing else { return acknowledged }
        syncing = nil
        guard case .synced(let error) = DiskJob.perform(.sync(begun.targets)) else {
            return acknowledged
        }
        if let error { throw .system(error) }
        try mailbox.synced()
        acknowledged = begun.known
        return acknowledged
    }

    /// - Returns: the jobs there were.
    @discardableResult
    func keepHouse() -> [DiskJob] {
        let jobs = mailbox.takeJobs()
        for job in jobs {
            if case .spare(_, let byteCount, let error) = DiskJob.perform(job) {
                mailbox.spareIsReady(byteCount: byteCount, failed: error != nil)
            }
        }
        return jobs
    }
}
