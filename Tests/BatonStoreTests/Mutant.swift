// Faults put into the store, or into what it believes of its disk, each of which breaks a promise: to
// see that the tests find them.

import BatonStore

enum Mutant: Hashable, CaseIterable, CustomStringConvertible {
    /// What a sync is to make durable is acknowledged when the sync begins.
    case acknowledgesBeforeSync
    /// After a failed sync it asks once more, and is told that all is well.
    case retriesFailedSync
    case forgetsDirectorySync
    /// A file has its name before its contents are durable.
    case namesBeforeSync
    case without(StoreVariant.Rule)

    static let allCases =
        [.acknowledgesBeforeSync, .retriesFailedSync, .forgetsDirectorySync, .namesBeforeSync]
        + StoreVariant.Rule.allCases.map { Mutant.without($0) }

    var description: String {
        switch self {
        case .acknowledgesBeforeSync: "acknowledges before the sync"
        case .retriesFailedSync: "retries a failed sync"
        case .forgetsDirectorySync: "forgets the directory's sync"
        case .namesBeforeSync: "names a file before it is synced"
        case .without(.proof): "cuts at the first bad record"
        case .without(.mark): "says that a batch is durable as it writes it"
        case .without(.wholeness): "does not check records"
        case .without(.chain): "does not check the chain"
        case .without(.epoch): "ignores the epoch"
        case .without(.place): "seeds no checksum with the segment"
        case .without(.rewriting): "syncs what it recovers without writing it again"
        case .without(.succession): "seals a segment before its successor is durable"
        case .without(.durableCursor): "lets a segment go before that is durable"
        case .without(.fallback): "lets go of what a rollback needs"
        case .without(.reserve): "keeps no room for settling"
        }
    }

    var syncFault: TracedDisk.SyncFault? {
        switch self {
        case .retriesFailedSync: .isRetried
        case .forgetsDirectorySync: .leavesOutDirectories
        case .namesBeforeSync: .leavesOutNewFiles
        case .acknowledgesBeforeSync, .without: nil
        }
    }

    /// The store as it is tried here: with small segments, and with the mutant's fault.
    static func variant(_ mutant: Mutant?) -> StoreVariant {
        var variant = StoreVariant.small
        if case .without(let rule) = mutant { variant.without = rule }
        return variant
    }
}
