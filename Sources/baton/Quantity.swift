// Quantity: lengths of time and sizes for people. Runs in baton.

enum Quantity {
    /// `512 µs`, `14.2 ms`, `1.52 s`, `75 s`.
    static func microseconds(_ count: Int) -> String {
        switch count {
        case ..<1000: "\(count) µs"
        case ..<1_000_000: "\(decimal(count, per: 1000, digits: 1)) ms"
        case ..<60_000_000: "\(decimal(count, per: 1_000_000, digits: 2)) s"
        default: "\(count / 1_000_000) s"
        }
    }

    /// `12 s`, `5 min 3 s`, `3 h 20 min`, `9 d 4 h`.
    static func seconds(_ count: Int) -> String {
        switch count {
        case ..<60: "\(count) s"
        case ..<3600: "\(count / 60) min \(count % 60) s"
        case ..<86_400: "\(count / 3600) h \(count % 3600 / 60) min"
        default: "\(count / 86_400) d \(count % 86_400 / 3600) h"
        }
    }

    /// `512 B`, `256 KiB`, `1.5 MiB`.
    static func bytes(_ count: Int) -> String {
        switch count {
        case ..<1024: "\(count) B"
        case ..<(1 << 20): "\(decimal(count, per: 1 << 10, digits: 1)) KiB"
        case ..<(1 << 30): "\(decimal(count, per: 1 << 20, digits: 1)) MiB"
        default: "\(decimal(count, per: 1 << 30, digits: 1)) GiB"
        }
    }

    /// `count / unit`, cut to so many decimal digits; a fraction of nothing is left out.
    private static func decimal(_ count: Int, per unit: Int, digits: Int) -> String {
        let scale = digits == 1 ? 10 : 100
        let fraction = count % unit * scale / unit
        guard fraction > 0 else { return "\(count / unit)" }
        let text = "\(fraction)"
        return "\(count / unit)." + String(repeating: "0", count: digits - text.count) + text
    }
}
