// What recovery would find in a mailbox, and make of it: its own reading, with nothing written. A
// batond may be writing to the mailbox meanwhile. Used in `batond check` and `batond repair`.

import BatonCore
import BatonLinux
import Glibc

package struct Survey: Sendable {
    package enum End: Equatable, Sendable {
        /// All there is is good.
        case clean
        /// From here on lies what was being written at the end of the last life, or is just now:
        /// nobody was ever told of it, and recovery drops it.
        case torn(at: LogPosition, byteCount: Int)
        /// Recovery would not open it, for this reason.
        case refused(StoreError)
    }

    package let end: End
    /// What the log says, as far as it is good.
    package let standing: MailboxMachine
    /// The last message of that.
    package let appended: SequenceNumber
    /// Where that ends; `nil` if there is no segment.
    package let goodThrough: LogPosition?
    package let segmentCount: Int
    package let byteCount: Int
    package let unknownFiles: [String]
    /// Slots that are damaged, each with what is wrong with it, while recovery can do without.
    package let damagedSlots: [String]

    package var unsettledCount: UInt64 { appended.distance(from: standing.settled) }

    /// A log that is written while it is read looks damaged where the reading was overtaken, and so does
    /// a slot: what is found damaged twice at one place, by one record, is so.
    private static let readings = 40

    /// - Parameter wasMade: it was open once, so there is something in it.
    package init(_ service: ServiceName, path: String, wasMade: Bool = true) {
        var survey = Survey(once: service, path: path, wasMade)
        for reading in 1..<Self.readings {
            guard survey.hasFault else { break }
            usleep(UInt32(min(reading * 1000, 20_000)))
            let before = survey
            survey = Survey(once: service, path: path, wasMade)
            if survey.hasSameFault(as: before) { break }
        }
        self = survey
    }

    private var hasFault: Bool {
        if case .refused = end { true } else { !damagedSlots.isEmpty }
    }
    private func hasSameFault(as other: Survey) -> Bool {
        end == other.end && damagedSlots == other.damagedSlots
            && Set(standing.slotsNamed) == Set(other.standing.slotsNamed)
    }

    private init(once service: ServiceName, path: String, _ wasMade: Bool) {
        do throws(SystemError) {
            var recovery = try Recovery(service: service, path: path, wasMade: wasMade)
            let (end, segmentCount) = recovery.survey()
            self.init(recovery, end, segmentCount)
        } catch { self.init(nil, .refused(.system(error)), 0) }
    }

    private init(_ recovery: Recovery?, _ end: End, _ segmentCount: Int) {
        self.end = end
        self.segmentCount = segmentCount
        standing = recovery?.standing ?? MailboxMachine()
        appended = recovery.map { SequenceNumber($0.nextSequence - 1) } ?? .none
        goodThrough = recovery?.goodThrough
        byteCount = recovery?.segments.reduce(0) { $0 + $1.byteCount } ?? 0
        unknownFiles = recovery?.report.unknownFiles ?? []
        damagedSlots = [recovery?.report.damagedSlot, recovery?.report.damagedFallback]
            .compactMap(\.self)
    }
}

extension Recovery {
    fileprivate var goodThrough: LogPosition? {
        segments.last.map { LogPosition(segment: $0.ordinal, offset: UInt32(end)) }
    }

    fileprivate mutating func survey() -> (Survey.End, segmentCount: Int) {
        var count = 0
        do throws(StoreError) {
            let listing = try list()
            count = listing.ordinals.count
            let torn = try readAll(listing)
            try readSlots()
            // Bytes that are no record may be of a segment that was there before.
            guard let torn, let place = goodThrough,
                torn.byteCount > 0 || !torn.segments.isEmpty
            else { return (.clean, count) }
            return (.torn(at: place, byteCount: torn.byteCount), count)
        } catch { return (.refused(error), count) }
    }
}
