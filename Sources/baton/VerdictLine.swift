// VerdictLine: how an upgrade ended, in words. Runs in baton.

import BatonClient

extension ServiceVerdict {
    /// The versions: `1 -> 2`, `stays at 1`, `2`.
    var versions: String {
        switch verdict {
        case .upgraded: "\(from ?? "-") -> \(to ?? "-")"
        case .refused: from.map { "stays at \($0)" } ?? "not started"
        default: to ?? from ?? "-"
        }
    }

    /// What happened: `upgraded, paused 512 µs, 14.2 ms in all`.
    var outcome: String {
        let total = "\(Quantity.microseconds(totalMicroseconds)) in all"
        switch verdict {
        case .upgraded:
            let pause = pauseMicroseconds.map { "paused \(Quantity.microseconds($0)), " } ?? ""
            return "upgraded, \(pause)\(total)"
        case .started: return "started, \(total)"
        case .current: return "already current"
        case .refused:
            let place = phase.map { " in \($0)" } ?? ""
            return "refused\(place): \(reason ?? "no reason given")"
        default: return "\(verdict.rawValue), \(total)"
        }
    }

    /// Both, where there are no columns.
    var sentence: String { "\(versions) \(outcome)" }
}

enum VerdictLine {
    /// Prints each verdict, those that refuse on standard error; the worst of them is the status.
    static func print(_ verdicts: [ServiceVerdict]) -> CommandExit {
        let names = verdicts.map(\.service.count).max() ?? 0
        for verdict in verdicts {
            let blanks = String(repeating: " ", count: names - verdict.service.count)
            let line = "\(verdict.service)\(blanks)  \(verdict.versions)  \(verdict.outcome)"
            if verdict.verdict == .refused { Output.remark(line) } else { Output.line(line) }
        }
        return verdicts.map(\.exitStatus).contains(.refused) ? .refused : .done
    }
}
