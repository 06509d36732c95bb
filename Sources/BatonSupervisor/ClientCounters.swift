// What clients were refused, and why: for STATUS, INFO and the log. Since batond's start. Runs in batond.

import BatonCore
import BatonWire

struct ClientCounters {
    /// Why a client was not let in, or not listened to any further.
    enum Reason: CaseIterable {
        /// All places are taken, or those of its user.
        case busy, busyForUser
        /// No descriptor was left for it.
        case noDescriptor
        /// Its user may not.
        case denied
        /// It ended within a message.
        case unfinished
        /// A message beyond the limit; what is no request at all.
        case tooBig, wrongProtocol
        /// It did not read its replies, or stopped within a large message.
        case stalled
        /// All clients together have as much memory as they may.
        case noMemory

        /// As STATUS and INFO name it.
        var name: String {
            switch self {
            case .busy: "refused_busy"
            case .busyForUser: "refused_busy_uid"
            case .noDescriptor: "refused_no_descriptor"
            case .denied: "refused_denied"
            case .unfinished: "discarded_unfinished"
            case .tooBig: "closed_too_big"
            case .wrongProtocol: "closed_protocol"
            case .stalled: "closed_stalled"
            case .noMemory: "closed_busy"
            }
        }
    }

    private(set) var accepted: UInt64 = 0
    private var counts: [Reason: UInt64] = [:]
    /// When each was last warned of, and how many there have been since.
    private var warnings: [Reason: (at: Moment, since: UInt64)] = [:]

    func count(_ reason: Reason) -> UInt64 { counts[reason] ?? 0 }

    mutating func accept() { accepted += 1 }

    mutating func note(_ reason: Reason) { counts[reason, default: 0] += 1 }

    /// Counts it, and says whether it is to be warned of: a flood of clients is no flood of warnings.
    /// - Returns: how many there have been since the last warning, this one included; `nil`: be silent.
    mutating func warns(of reason: Reason, at now: Moment) -> UInt64? {
        note(reason)
        let last = warnings[reason]
        let since = (last?.since ?? 0) + 1
        guard let last, now.since(last.at) < FixedLimits.warningSpan else {
            warnings[reason] = (now, 0)
            return since
        }
        warnings[reason] = (last.at, since)
        return nil
    }
}
