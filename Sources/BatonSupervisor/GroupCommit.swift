// Group commit: one sync at a time covers everything that waits for one; while it runs the next
// batch gathers. Runs in batond; the sync itself on the commit thread.

import BatonCore
import BatonLinux
import BatonStore
import Glibc

struct GroupCommit {
    /// The commit under way.
    struct Round {
        var services: [Service]
        var connections: [Connection]
        var begun: Moment
    }

    fileprivate(set) var round: Round?
    /// Have something to be made durable before replies leave.
    fileprivate(set) var wanting: [Service] = []
    /// Have replies that wait for a commit.
    fileprivate(set) var gathering: [Connection] = []
    fileprivate(set) var count: UInt64 = 0
    /// A timer looks after the commit under way.
    var isWatched = false
    /// The one under way takes long.
    var isSlow = false
}

extension Supervisor {
    /// The connection has replies that may leave after the next commit.
    @inline(__always)
    func gathers(_ connection: Connection) {
        guard !connection.isInGathering else { return }
        connection.isInGathering = true
        commit.gathering.append(connection)
    }

    /// The service has something that the next commit must cover.
    @inline(__always)
    func commits(_ service: Service) {
        guard !service.wantsCommit else { return }
        service.wantsCommit = true
        commit.wanting.append(service)
    }

    /// The service's replies do not wait, but what it has written is synced within a second.
    func commitsSoon(_ service: Service) {
        guard !service.commitsSoon else { return }
        service.commitsSoon = true
        _ = after(.seconds(1)) { [weak self, weak service] in
            guard let self, let service else { return }
            service.commitsSoon = false
            if service.mailbox.needsSync { self.commits(service) }
        }
    }

    /// Whether somebody waits for a commit, and none is under way.
    var mayBeginCommit: Bool {
        // Once batond gives up, nothing more may be acknowledged.
        commit.round == nil && shutdown != .finished
            && !(commit.wanting.isEmpty && commit.gathering.isEmpty)
    }

    /// At the end of a turn, when everything is written.
    func beginCommit() {
        guard mayBeginCommit else { return }
        let wanting = commit.wanting
        commit.wanting = []
        let connections = commit.gathering
        commit.gathering = []
        for connection in connections {
            connection.isInGathering = false
            connection.commitBegins()
        }
        var targets: [SyncTarget] = []
        for service in wanting { targets += service.commitBegins() }
        commit.round = GroupCommit.Round(services: wanting, connections: connections, begun: now)
        guard !targets.isEmpty else { return commitEnds() }
        committer.submit(.sync(targets))
        watchCommits()
    }

    func commitsAreDone() {
        for case .synced(let error) in committer.take() {
            if let error {
                // The kernel would report success for the next sync, with the data gone.
                fail("a sync failed (\(error)); nothing of it was acknowledged")
                return
            }
            commitEnds()
        }
    }

    private func commitEnds() {
        guard let round = commit.round else { return }
        commit.round = nil
        commit.count &+= 1
        for connection in round.connections {
            connection.commitEnds()
            flushes(connection)
        }
        for service in round.services { service.commitEnds() }
        if commit.isSlow { commitIsFast(begun: round.begun) }
    }
}
