// What follows when a mailbox's log has become durable: segments are sealed, and those that nothing
// needs any more are let go. Used in batond, by the loop's thread.

import BatonCore
import BatonLinux

extension Mailbox {
    /// What to sync so that everything flushed is durable; `synced` follows when it is.
    package mutating func takeSync() -> [SyncTarget] {
        precondition(syncing == nil, "one sync at a time")
        var targets = unsynced
        unsynced = []
        if activeIsDirty { targets.insert(SyncTarget(active, dataOnly: true), at: 0) }
        activeIsDirty = false
        syncing = (readable, flushedNeeded, unsyncedByteCount)
        slots.syncBegins()
        return targets
    }

    /// What `takeSync` gave is durable: seals and lets go of segments.
    package mutating func synced() throws(StoreError) {
        guard let covered = syncing else { preconditionFailure("nothing was being synced") }
        syncing = nil
        slots.syncEnds()
        durable = covered.position
        unsyncedByteCount -= covered.byteCount
        let settled = variant.without == .durableCursor ? standing.needed : covered.needed
        let needed =
            variant.without == .fallback ? standing.settled : min(settled, keepFrom ?? settled)
        while segments.count > 1, segments[0].ordinal < durable.segment,
            segments[0].endSequence <= needed.value + 1
        {
            let done = segments.removeFirst()
            unsealed.removeAll { $0.ordinal == done.ordinal }
            retired.append(done, isRecycled: done.byteCount == variant.lastSegmentBytes)
        }
        letGo(retired.next(wantsSpare: spare == .none))
        try seal()
    }

    private mutating func letGo(_ removal: Retired.Removal?) {
        guard let removal else { return }
        if removal.spareByteCount != nil { spare = .making }
        jobs.append(
            .letGo(
                service, directory: directory, ordinals: removal.ordinals,
                spareByteCount: removal.spareByteCount))
    }

    /// Of the segments that were let go, so many are gone; the others could not be removed.
    package mutating func areGone(_ count: Int, failed: Bool) {
        let done = retired.removed(count, failed: failed)
        if let byteCount = done.spareByteCount {
            spareIsReady(byteCount: byteCount, failed: count < done.ordinals.count)
        }
        if !failed { letGo(retired.next(wantsSpare: spare == .none)) }
    }

    private mutating func seal() throws(StoreError) {
        while let first = unsealed.first,
            first.ordinal < durable.segment || variant.without == .succession
        {
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
            let seed = variant.seed(of: segment.header)
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

    /// Whether something is still to be done by the housekeeping thread, whose result must come
    /// before the mailbox may be closed and opened again.
    package var isKeepingHouse: Bool { !jobs.isEmpty || spare == .making || retired.isBeingRemoved }

    /// Has a spare made, if there is none and none on its way.
    package mutating func seekSpare() {
        guard spare == .none else { return }
        spare = .making
        jobs.append(.makeSpare(service, directory: directory, byteCount: nextByteCount(toHold: 0)))
    }

    /// A spare was made, or could not be.
    package mutating func spareIsReady(byteCount: Int, failed: Bool) {
        spare = failed ? .none : .ready(byteCount: byteCount)
        if !failed { isSpareDenied = false }
        reckon()
    }
}
