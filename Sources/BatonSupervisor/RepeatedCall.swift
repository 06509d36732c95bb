// A message that its client has given an id may be sent again: it is known, and gets the recorded answer,
// or waits for it with whoever sent it first. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import Crypto

/// Someone who has sent a message again and waits for its answer.
struct RepeatedCall {
    let connection: Connection
    let slot: UInt64
}

extension Service {
    /// What a message with an id turned out to be.
    enum Arrival {
        /// It was not known, and is in the mailbox now.
        case new(SequenceNumber)
        case known(IDWindow.Entry)
        /// Its id was another message's.
        case conflict(IDWindow.Entry)
    }

    /// Takes a message with an id, if it is not known.
    /// - Parameter slot: of the caller; `nil` if the receipt is all that is wanted.
    func take(
        _ message: UnsafeRawBufferPointer, id: [UInt8], from connection: Connection, slot: UInt64?
    ) throws(StoreError) -> Arrival {
        let bounds = supervisor.configuration.limits.ids
        let identity = unsafe IDWindow.Identity(
            key: IDWindow.Key(client: connection.client, id: id), digest: Self.digest(of: message),
            at: supervisor.steadyMilliseconds)
        if let entry = mailbox.standing.ids.entry(of: identity.key), isKept(entry, bounds) {
            return entry.identity.digest == identity.digest ? .known(entry) : .conflict(entry)
        }
        try expectDisk()
        let sequence = try unsafe mailbox.append(message, as: identity, within: bounds)
        hasRoom()
        waiting.append(slot == nil ? nil : connection, slot: slot ?? 0)
        supervisor.touch(self)
        return .new(sequence)
    }

    /// Answers a known message, now or when its answer comes.
    func answer(_ entry: IDWindow.Entry, to connection: Connection, slot: UInt64) {
        if let answer = entry.answer, entry.sequence <= mailbox.standing.settled.value {
            tell(connection, slot, answer)
            expectCommit(of: connection)
        } else {
            var calls = repeats[entry.sequence] ?? []
            calls.removeAll { $0.connection.state == .closed }
            calls.append(RepeatedCall(connection: connection, slot: slot))
            repeats[entry.sequence] = calls
        }
    }

    /// What was just answered to `connection` rests on what is not durable yet, perhaps.
    func expectCommit(of connection: Connection) {
        guard isGated else { return }
        supervisor.commits(self)
        supervisor.gathers(connection)
    }

    /// What waits, and what is settled and not too old. Of a log that was damaged and repaired an
    /// answer may be gone: what it answered is as good as forgotten.
    private func isKept(_ entry: IDWindow.Entry, _ bounds: IDWindow.Bounds) -> Bool {
        entry.sequence > mailbox.standing.settled.value
            || entry.answer != nil
                && !mailbox.standing.ids.isPast(entry, at: supervisor.steadyMilliseconds, bounds)
    }

    private static func digest(of message: UnsafeRawBufferPointer) -> UInt128 {
        var hash = SHA256()
        unsafe hash.update(bufferPointer: message)
        return hash.finalize().prefix(16).reduce(0) { $0 << 8 | UInt128($1) }
    }
}
