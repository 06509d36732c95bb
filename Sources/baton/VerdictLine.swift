// VerdictLine: how an upgrade ended, in words. Runs in baton.

import BatonClient

extension ServiceVerdict {
    /// The versions: `1 -> 2`, `stays at 1`, `2`.
    var versions: String {
        switch verdict {
        case .upgraded, .rolledBack, .wouldUpgrade: "\(from ?? "-") -> \(to ?? "-")"
        case .refused: from.map { "stays at \($0)" } ?? "not started"
        case .removed, .wouldRemove: from ?? "-"
        default: to ?? from ?? "-"
        }
    }

    /// What happened: `upgraded, paused 512 µs, 14.2 ms in all`.
    var outcome: String {
        let total = "\(Quantity.microseconds(totalMicroseconds)) in all"
        let pause = pauseMicroseconds.map { "paused \(Quantity.microseconds($0)), " } ?? ""
        switch verdict {
        case .upgraded: return "upgraded, \(pause)\(total)\(rehearsal)\(probation)"
        case .started: return "started, \(total)\(probation)"
        case .rolledBack:
            return "rolled back, \(pause)\(total)" + (reason.map { ": \($0)" } ?? "")
        case .current: return "already current"
        case .refused:
            let place = phase.map { " in \($0)" } ?? ""
            return "refused\(place): \(reason ?? "no reason given")\(rehearsal)"
        case .removed:
            return "removed; its mailbox is kept, with \(kept ?? 0) messages that wait"
        case .wouldUpgrade: return "would be upgraded\(rehearsal)"
        case .wouldStart: return "would be started"
        case .wouldRemove: return "would be removed"
        default: return "\(verdict.rawValue), \(total)"
        }
    }

    private var rehearsal: String {
        guard let rehearsed else { return "" }
        return ", rehearsed \(rehearsed) messages: \(differences ?? 0) replies differed"
    }

    /// On probation a crash still rolls it back: said, as that is not the end of the matter.
    private var probation: String { release == "provisional" ? ", on probation" : "" }

    /// Both, where there are no columns.
    var sentence: String { "\(versions) \(outcome)" }
}

enum VerdictLine {
    /// Prints each verdict, those that are no good on standard error.
    static func print(
        _ verdicts: [ServiceVerdict],
        isGood: (ServiceVerdict) -> Bool = { $0.exitStatus == .done }
    ) {
        let names = verdicts.map(\.service.count).max() ?? 0
        for verdict in verdicts {
            let blanks = String(repeating: " ", count: names - verdict.service.count)
            let line = "\(verdict.service)\(blanks)  \(verdict.versions)  \(verdict.outcome)"
            if isGood(verdict) { Output.line(line) } else { Output.remark(line) }
        }
    }
}

extension [ServiceVerdict] {
    /// The worst of them.
    var exitStatus: CommandExit {
        map(\.exitStatus).contains(.refused) ? .refused : .done
    }
}
