// The repair of one damaged mailbox: read, told, and only then done. Runs in `batond repair`, which has
// the state directory's lock all the while.
//
// Nothing of the damaged mailbox is ever changed. What can be kept is written as a new log in a
// directory of its own, made durable, and read once more. Then the two directories exchange their
// names in one step. A crash before that leaves the mailbox as it was, one after it leaves it
// repaired; in both cases the repair may be done again.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import CLinux
import Glibc

package struct Repair {
    package enum Outcome {
        /// The mailbox opens as it is.
        case nothingToDo(MailboxCondition)
        case planned(Repair)
    }

    /// In the state directory: what was damaged, a directory for each repair.
    package static let directoryName = "repaired"

    package let service: ServiceName
    let place: String
    let reason: String
    private(set) var salvage: Salvage
    let state: String
    /// Where the damaged mailbox will lie.
    let keptPath: String
    private let lock: StateDirectory

    /// Looks at the mailbox, and finds out what can be kept.
    package static func plan(_ service: ServiceName, state: String) throws(CheckRefusal) -> Outcome
    {
        if let holder = StateDirectory.holder(of: state) {
            throw .refused(
                "batond (process \(holder)) uses \(state): stop it ('systemctl stop batond'), "
                    + "repair, and start it again")
        }
        if let fault = StateDirectory.formatFault(of: state) { throw .refused(fault) }
        let known: [ServiceName]
        do throws(SystemError) { known = try MailboxCondition.services(in: state) } catch {
            throw .unreadable("\(error)")
        }
        guard known.contains(service) else { throw .noSuchService(service, state) }
        let lock: StateDirectory
        do throws(StartRefusal) { lock = try StateDirectory(state) } catch {
            throw .refused(error.reason)
        }
        let condition = MailboxCondition(service, state: state, isRemoved: false)
        switch condition.fault {
        case nil: return .nothingToDo(condition)
        case .corrupt(let place, let reason):
            return .planned(
                try Repair(service, place: place, reason: reason, state: state, lock))
        case .some(let error): throw .refused("\(error)")
        }
    }

    private init(
        _ service: ServiceName, place: String, reason: String, state: String,
        _ lock: StateDirectory
    ) throws(CheckRefusal) {
        self.service = service
        self.place = place
        self.reason = reason
        self.state = state
        self.lock = lock
        let path = MailboxCondition.path(of: service, state)
        var status = stat()
        if unsafe lstat(path, &status) != 0, errno == ENOENT {
            // Its whole directory is gone: an empty one is no less, and can take part in the exchange.
            guard unsafe mkdir(path, 0o700) == 0 else {
                throw .refused("\(SystemError.last("make \(path)"))")
            }
        } else if status.st_mode & S_IFMT != S_IFDIR {
            throw .refused("\(place): \(reason): put the directory itself there")
        }
        do throws(StoreError) { salvage = try Salvage(service, path: path) } catch {
            let cause =
                if case .corrupt(let place, let reason) = error {
                    "\(place): \(reason): restore it from a copy"
                } else { "\(error)" }
            throw .refused("what can be kept of \(path) cannot be told: \(cause)")
        }
        keptPath = Self.unused("\(state)/\(Self.directoryName)/\(service)-\(Self.stamp)")
    }

    /// A mailbox may be repaired again within a second.
    private static func unused(_ path: String) -> String {
        let paths = [path] + (2...9).map { "\(path)-\($0)" }
        return paths.first { unsafe access($0, F_OK) != 0 } ?? path
    }

    // MARK: Doing it

    private static var stamp: String {
        var now = time(nil)
        var parts = unsafe tm()
        unsafe gmtime_r(&now, &parts)
        let fields = unsafe [
            parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
        ].map { $0 < 10 ? "0\($0)" : "\($0)" }
        let year = unsafe parts.tm_year + 1900
        return "\(year)\(fields[0])\(fields[1])T\(fields[2])\(fields[3])\(fields[4])Z"
    }

    /// - Returns: the mailbox as it is now.
    package mutating func perform() throws(CheckRefusal) -> MailboxCondition {
        let path = MailboxCondition.path(of: service, state)
        let kept = keptPath
        do throws(SystemError) {
            try makeDirectory("\(state)/\(Self.directoryName)")
            guard unsafe access(kept, F_OK) != 0 else {
                throw SystemError("make \(kept)", code: EEXIST)
            }
            try write(to: kept)
            guard unsafe baton_exchange(path, kept) == 0 else {
                let error = SystemError.last("exchange \(path) and \(kept)")
                discard(kept)
                throw error
            }
            for directory in ["mailboxes", Self.directoryName] {
                try OpenFile.directory("\(state)/\(directory)").sync(data: false)
            }
        } catch {
            let next =
                error.code == EROFS
                ? ": mount it so that it can be written, and repair again"
                : error.isLackOfRoom ? ": make room, and repair again" : ""
            throw .refused("\(error). The mailbox is as it was\(next)")
        }
        return MailboxCondition(service, state: state, isRemoved: false)
    }

    private func makeDirectory(_ path: String) throws(SystemError) {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw .last("make \(path)")
        }
        try OpenFile.directory(state).sync(data: false)
    }

    /// Writes the new log, and reads it again: it must say what was promised.
    private mutating func write(to path: String) throws(SystemError) {
        do throws(StoreError) { try salvage.write(to: path) } catch {
            discard(path)
            guard case .system(let error) = error else {
                throw SystemError("write \(path): \(error)", code: ENOSPC)
            }
            throw error
        }
        let survey = Survey(service, path: path)
        guard survey.end == .clean, survey.standing == salvage.standing,
            survey.appended == salvage.appended
        else {
            discard(path)
            throw SystemError("read \(path) again: it is not what was written", code: EIO)
        }
    }

    /// What was not finished takes no room.
    private func discard(_ path: String) {
        for name in (try? DirectoryListing.names(path)) ?? [] {
            _ = unsafe unlink("\(path)/\(name)")
        }
        _ = unsafe rmdir(path)
    }
}
