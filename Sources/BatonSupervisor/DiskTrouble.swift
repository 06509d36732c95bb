// The disk's troubles: room that runs out and comes back, syncs that take long, a disk that takes
// nothing any more. Runs in batond.
//
// Nothing here wakes batond at rest: room is looked at when batond takes some, and asked for again only
// while messages are refused for want of it; a sync is watched while there is one.

import BatonCore
import BatonLinux
import BatonStore
import Logging

extension Supervisor {
    // MARK: Room

    /// After batond has taken or given back room.
    func lookAtRoom() {
        guard let directory = state.directory, let room = ground.room(of: directory) else {
            return
        }
        switch (isRoomLow, room.freePercent) {
        case (false, ..<FixedLimits.lowRoomPercent):
            isRoomLow = true
            emit(
                Event(
                    .diskLow,
                    cause: "\(room.free >> 20) MiB of \(room.total >> 20) MiB are left for "
                        + "\(state.path): free some space, or let backlogs drain"))
        // Not at the same mark, or each segment that comes and goes would be told.
        case (true, FixedLimits.enoughRoomPercent...):
            isRoomLow = false
            logger.notice("there is room again for \(state.path)")
        default: break
        }
    }

    /// A spare segment was made, or could not be.
    func spareIsReady(for name: ServiceName, byteCount: Int, _ error: SystemError?) {
        guard let service = services[name] else { return }
        guard let error else { return service.spareHasCome(byteCount: byteCount) }
        service.spareHasFailed(byteCount: byteCount, error)
    }

    /// Nothing could be opened for want of room: tried again until it can.
    func openLater(_ name: ServiceName) {
        _ = after(FixedLimits.roomRetry) { [weak self] in
            guard let self, self.shutdown == .running, case .noRoom? = self.outages[name] else {
                return
            }
            self.openAgain(name)
        }
    }

    // MARK: Slow syncs

    /// While commits go on, once a second: whether one takes too long.
    func watchCommits() {
        guard !commit.isWatched else { return }
        commit.isWatched = true
        _ = after(FixedLimits.slowSync) { [weak self] in
            guard let self else { return }
            self.commit.isWatched = false
            guard let round = self.commit.round else { return }
            self.noteAge(of: round)
            self.watchCommits()
        }
    }

    private func noteAge(of round: GroupCommit.Round) {
        let age = freshNow().since(round.begun)
        guard !commit.isSlow, age >= FixedLimits.slowSync else { return }
        commit.isSlow = true
        emit(
            Event(
                .slowSync,
                cause: "nothing of what is written meanwhile is acknowledged; beyond "
                    + "\(configuration.limits.unsyncedBytes >> 10) KiB a mailbox takes nothing new",
                duration: age))
    }

    /// A slow sync has come to its end.
    func commitIsFast(begun: Moment) {
        commit.isSlow = false
        logger.notice("the sync has come after \(freshNow().since(begun))")
        for service in services.values { service.releaseHeldUp() }
    }
}

extension Service {
    /// Messages are refused for want of room.
    struct LackOfRoom {
        /// There is no room for this.
        var what: String
        /// Before then it is not tried again: trying may cost as much as filling a segment.
        var until: Moment
    }

    // MARK: Room

    /// Why a message is to be refused unseen.
    var refusal: StoreError? {
        if let lackOfRoom, supervisor.now < lackOfRoom.until { return .noRoom(lackOfRoom.what) }
        return nil
    }

    /// - Parameter what: there is no room for.
    func hasNoRoom(for what: String) {
        let reason = "\(StoreError.noRoom(what))"
        if lackOfRoom == nil { emit(.readOnly, cause: reason) }
        lackOfRoom = LackOfRoom(
            what: what, until: supervisor.now.advanced(by: .milliseconds(100)))
        seekRoom()
    }

    /// A message was taken, or a segment made.
    func hasRoom() {
        guard lackOfRoom != nil else { return }
        lackOfRoom = nil
        emit(.writable)
        supervisor.lookAtRoom()
    }

    /// Room is there when a spare segment can be made.
    private func seekRoom() {
        guard removal == nil else { return }
        mailbox.seekSpare()
        for job in mailbox.takeJobs() { supervisor.keepHouse(job) }
    }

    func spareHasCome(byteCount: Int) {
        isSpareMissing = false
        mailbox.spareIsReady(byteCount: byteCount, failed: false)
        hasRoom()
        tryOutcomesAgain()
    }

    func spareHasFailed(byteCount: Int, _ error: SystemError) {
        if !isSpareMissing { log.warning("no spare segment: \(error)") }
        isSpareMissing = true
        mailbox.spareIsDenied()
        // The mailbox asks for another as soon as it hears of it.
        _ = supervisor.after(FixedLimits.roomRetry) { [weak self] in
            guard let self else { return }
            self.mailbox.spareIsReady(byteCount: byteCount, failed: true)
            if self.lackOfRoom != nil { self.seekRoom() }
        }
    }

    // MARK: Slow syncs

    /// Refuses a message that the disk should not be asked to take.
    func expectDisk() throws(StoreError) {
        if let refusal { throw refusal }
        guard !isAheadOfDisk else {
            throw .slowDisk(limit: supervisor.configuration.limits.unsyncedBytes)
        }
    }

    /// A sync takes long, and as much is written as may be before it comes.
    var isAheadOfDisk: Bool {
        supervisor.commit.isSlow && durability != .none
            && mailbox.unsyncedByteCount > supervisor.configuration.limits.unsyncedBytes
    }
}
