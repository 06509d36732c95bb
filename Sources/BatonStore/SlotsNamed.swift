// Which slots the log names: those that a recovery may still read, whatever part of what is not
// synced has reached the disk. Used in batond.
//
// Invariant: a slot that is not among `all` is named by no record that counts, now or after a crash.

package struct SlotsNamed: Equatable {
    /// Of the records up to the last sync's end, and since.
    private var older: Set<UInt8>
    /// Of the records since the last sync began.
    private var newer: Set<UInt8>
    /// Of what is flushed, as it is; and of what was gathered since.
    private var atFlush: Set<UInt8>
    private var gathered: Set<UInt8>
    private var syncing: Set<UInt8> = []

    /// From what is durable.
    package init(_ named: Set<UInt8>) {
        (older, newer, atFlush, gathered) = (named, named, named, named)
    }

    /// A slot that is free may be written.
    package var all: Set<UInt8> { older.union(newer).union(gathered) }

    /// A record was gathered; these are named now.
    package mutating func note(_ named: Set<UInt8>) { gathered.formUnion(named) }

    package mutating func flushed(_ named: Set<UInt8>) {
        newer.formUnion(gathered)
        (atFlush, gathered) = (named, named)
    }

    /// All that is flushed is being synced.
    package mutating func syncBegins() {
        older.formUnion(newer)
        (newer, syncing) = (atFlush, atFlush)
    }

    /// It is durable, and recovery does not look behind it any more.
    package mutating func syncEnds() { older = syncing }
}
