// What clients are sent, and what becomes of those that do not read it. Runs in batond.

import BatonCore
import BatonLinux
import Glibc
import Logging

extension Supervisor {
    /// The connection may have something that can be sent at the end of this turn.
    func flushes(_ connection: Connection) {
        // A reply that waits for nothing may have let others go ahead that do.
        if connection.output.isGathering { gathers(connection) }
        guard !connection.isToFlush else { return }
        connection.isToFlush = true
        toFlush.append(connection)
    }

    func flush(_ connection: Connection) {
        guard connection.state != .closed else { return }
        guard connection.flush(now: now) else {
            hasGone(connection)
            return
        }
        if connection.isFinished { return close(connection) }
        tellMissed(connection)
        account(connection)
        if connection.isHeldBack || connection.hasGone, mayRead(connection) { resumes(connection) }
        watchAgain(connection)
        if connection.stalledSince != nil { expectReading(of: connection) }
    }

    private func expectReading(of connection: Connection) {
        guard !connection.isTimed else { return }
        connection.isTimed = true
        _ = after(configuration.limits.stalledClientTimeout) { [weak self, weak connection] in
            guard let self, let connection, connection.state != .closed else { return }
            connection.isTimed = false
            guard let since = connection.stalledSince else { return }
            if self.now.since(since) >= self.configuration.limits.stalledClientTimeout {
                self.closeUnread(connection)
            } else {
                self.expectReading(of: connection)
            }
        }
    }

    /// Whether more replies wait for it than may. Its service waits for it: what it asked for ahead,
    /// before anybody could know how long the replies are, would take any amount of memory.
    func isOverfull(_ connection: Connection) -> Bool {
        let most = max(configuration.limits.repliesBytes, FixedLimits.hardRepliesBytes)
        return connection.state != .closed
            && connection.bufferedCount > min(most, memory.allowance)
    }

    /// A client that holds up `service` reads fast, or is closed.
    func expectFastReading(of connection: Connection, by service: Service) {
        guard !connection.isRushed else { return }
        let span = service.patience.span(at: now)
        // It has shown before that it does not: the next one need not be waited for as well.
        if let since = connection.stalledSince, now.since(since) >= span {
            return closeUnread(connection, holdingUp: service)
        }
        connection.isRushed = true
        let before = connection.output.sentCount
        _ = after(span) { [weak self, weak connection, weak service] in
            guard let self, let connection, let service, connection.state != .closed else { return }
            connection.isRushed = false
            guard self.isOverfull(connection) else { return }
            // What waits for the disk is not the client's fault.
            guard
                !service.patience.isOver(for: connection.output.sentCount - before, in: span)
                    || connection.output.isCommitting
            else { return self.closeUnread(connection, holdingUp: service) }
            self.expectFastReading(of: connection, by: service)
        }
    }

    private func closeUnread(_ connection: Connection, holdingUp service: Service) {
        service.patience.lose(at: now)
        closeUnread(connection)
    }

    private func closeUnread(_ connection: Connection) {
        warn(of: .stalled, "a client that does not read its replies is closed")
        close(connection)
    }
}
