// Who waits for whom: what one client may have waiting at a service, clients that wait for room in its
// mailbox, and the service that waits for a client to read. Runs in batond.

import BatonCore
import BatonStore

extension Service {
    // MARK: Pace

    /// Messages of one client that may wait for their outcome. While they are handled, what is beyond
    /// is left in the client's socket, so that others have their turn; else they are kept, up to what
    /// the operator has set.
    var window: UInt64 {
        let limit = UInt64(supervisor.configuration.limits.repliesPending)
        guard let host = current, host.machine.state == .running else { return limit }
        return min(limit, pace.window)
    }

    /// The outcomes of `count` messages have come.
    func note(pace count: UInt64) {
        guard count > 0 else { return }
        let now = supervisor.freshNow()
        if let since = busySince { pace.handled(count, in: now.since(since)) }
        busySince = waiting.isEmpty ? nil : now
    }

    // MARK: A client that does not read

    /// A client has asked for more than its queue may hold, before anybody could know. The others
    /// wait for it, as long as it reads fast.
    var isHeldUpByClient: Bool {
        guard let connection = overfull else { return false }
        if supervisor.isOverfull(connection) { return true }
        overfull = nil
        return false
    }

    func note(replyTo connection: Connection) {
        supervisor.account(connection)
        if supervisor.isOverfull(connection) {
            overfull = connection
            supervisor.expectFastReading(of: connection, by: self)
        }
        if connection.isPaused, connection.pendingCount <= window / 2 {
            supervisor.resumes(connection)
        }
        if repliedTo.last !== connection { repliedTo.append(connection) }
        if isGated { supervisor.gathers(connection) } else { supervisor.flushes(connection) }
    }

    // MARK: A mailbox that is full

    func holdUp(_ connection: Connection) {
        guard !connection.isWaitingForRoom else { return }
        connection.isWaitingForRoom = true
        heldUp.append(connection)
    }

    /// There may be room: everybody tries, and whoever was first the last time is last.
    func releaseHeldUp() {
        guard let first = heldUp.first, removal == nil else { return }
        if mailbox.isFull, mailbox.readable.segment == fullSegment { return }
        let released = heldUp.dropFirst() + [first]
        heldUp = []
        for connection in released {
            connection.isWaitingForRoom = false
            supervisor.resumes(connection)
        }
    }
}
