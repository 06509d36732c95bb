// What can go wrong with a mailbox. Used in batond.

import BatonCore
import BatonLinux
import Glibc

package enum StoreError: Error, Equatable, CustomStringConvertible {
    /// A system call failed; nothing after it may be taken for written.
    case system(SystemError)
    /// The mailbox holds as much as it may: nothing was written. It accepts again when some is settled.
    case full(limit: Int)
    /// There is no room on the disk: nothing was written. The mailbox accepts again when there is.
    case noRoom(String)
    /// The disk is slow, and so much is written that no sync has covered: nothing was written.
    case slowDisk(limit: Int)
    /// The log is damaged where it had been acknowledged. Nothing was changed.
    case corrupt(place: String, reason: String)
    /// Written by a newer Baton. Nothing was changed.
    case newerFormat(found: UInt32, known: UInt32, place: String)
    /// No further message can be set aside: nothing was written.
    case deadLettersFull(count: Int)
    /// As many messages with ids wait as may be remembered: nothing was written.
    case idsFull(count: Int)
    /// More than one record can hold.
    case tooLarge(bytes: Int, limit: Int)

    package var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .full(let limit):
            "the mailbox holds its limit of \(limit) bytes: wait until some of it is handled"
        case .noRoom(let what):
            "no room for \(what): free some space, or let the backlog drain"
        case .slowDisk(let limit):
            "the disk is slow, and \(limit) bytes wait for it: try again later"
        case .corrupt(let place, let reason):
            "the mailbox is damaged at \(place): \(reason). Nothing was changed; restore the "
                + "file from a copy, or let 'baton repair' keep what can be kept"
        case .newerFormat(let found, let known, let place):
            "\(place) has \(found > known ? "format \(found)" : "features of a newer format"), "
                + "this batond knows up to format \(known): use the newer batond"
        case .deadLettersFull(let count):
            "there is no room for another dead letter beside the \(count) there are: redeliver or "
                + "discard some"
        case .idsFull(let count):
            "\(count) messages with ids wait, as many as may be remembered: wait until some are "
                + "handled"
        case .tooLarge(let bytes, let limit): "\(bytes) bytes are more than the limit of \(limit)"
        }
    }
}

extension StoreError {
    /// It may pass: room can be made.
    package var isLackOfRoom: Bool {
        switch self {
        case .noRoom: true
        case .system(let error): error.isLackOfRoom
        case .full, .slowDisk, .corrupt, .newerFormat, .deadLettersFull, .idsFull, .tooLarge: false
        }
    }

    /// The disk does not take what is written. What it does not give back is `corrupt`.
    package var isFailingDisk: Bool {
        if case .system(let error) = self { error.isFailingDisk } else { false }
    }

    /// Runs what reads at `place`: what the disk does not give back is damaged there.
    static func wrapReading<R: ~Copyable>(
        _ place: String, _ body: () throws(SystemError) -> R
    ) throws(StoreError) -> R {
        do throws(SystemError) { return try body() } catch {
            guard error.code == EIO else { throw .system(error) }
            throw .corrupt(place: place, reason: "it cannot be read (\(error))")
        }
    }

    /// Runs what makes system calls, in this module's error.
    static func wrap<R: ~Copyable>(_ body: () throws(SystemError) -> R) throws(StoreError) -> R {
        do throws(SystemError) { return try body() } catch { throw .system(error) }
    }
}
