// Which process dies at which moment of an upgrade: `batond --die-at`. Pure.

package struct FaultPlan: Equatable, Sendable, CustomStringConvertible {
    package enum Victim: String, CaseIterable, Sendable {
        case batond
        /// The host of the version that handles messages, of the one that is to, of the one before.
        case current, candidate, old
    }

    package var victim: Victim
    package var point: FaultPoint

    /// `POINT`, or `VICTIM@POINT`; `nil` for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "@", omittingEmptySubsequences: false).map(String.init)
        guard let last = parts.last, let point = FaultPoint(rawValue: last) else { return nil }
        self.point = point
        switch parts.count {
        case 1: victim = .batond
        case 2:
            guard let named = Victim(rawValue: parts[0]) else { return nil }
            victim = named
        default: return nil
        }
    }

    package var description: String { "\(victim.rawValue)@\(point.rawValue)" }

    /// What may be written, for a message to who wrote something else.
    package static var usage: String {
        "[\(Victim.allCases.map(\.rawValue).joined(separator: "|"))@]"
            + FaultPoint.allCases.map(\.rawValue).joined(separator: "|")
    }
}
