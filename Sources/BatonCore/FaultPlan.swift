// Which process dies at which moment of an upgrade: `batond --die-at`. Pure.

package struct FaultPlan: Equatable, Sendable, CustomStringConvertible {
    package enum Victim: String, CaseIterable, Sendable {
        case batond
        /// The host of the version that handles messages, of the one that is to, of the one before.
        case current, candidate, old
    }

    package var victim: Victim
    package var point: FaultPoint
    /// At which time that an upgrade comes to the point, counted from 1; a service's first start is
    /// an upgrade too. Or at a later one, if there is no such victim then.
    package var time: Int

    /// `POINT`, `VICTIM@POINT`, or either with `:TIME` behind it; `nil` for anything else.
    package init?(_ text: String) {
        let timed = text.split(separator: ":", omittingEmptySubsequences: false)
        switch timed.count {
        case 1: time = 1
        case 2:
            guard let number = Int(timed[1]), number > 0 else { return nil }
            time = number
        default: return nil
        }
        let parts = timed[0].split(separator: "@", omittingEmptySubsequences: false)
            .map(String.init)
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

    package var description: String {
        "\(victim.rawValue)@\(point.rawValue)" + (time == 1 ? "" : ":\(time)")
    }

    /// What may be written, for a message to who wrote something else.
    package static var usage: String {
        "[\(Victim.allCases.map(\.rawValue).joined(separator: "|"))@]"
            + FaultPoint.allCases.map(\.rawValue).joined(separator: "|") + "[:TIME]"
    }
}
