// Time as people and other programs know it: for what is told and kept, never for deadlines.

/// Milliseconds since 1970, without leap seconds.
package struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let milliseconds: UInt64
    package init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    package static func < (left: Self, right: Self) -> Bool {
        left.milliseconds < right.milliseconds
    }

    /// RFC 3339 in UTC: `2026-02-03T04:05:06.007Z`.
    package var description: String {
        let seconds = milliseconds / 1000
        let (year, month, day) = Self.date(dayNumber: seconds / 86_400)
        let time = seconds % 86_400
        return Self.digits(year, 4) + "-" + Self.digits(month, 2) + "-" + Self.digits(day, 2)
            + "T" + Self.digits(time / 3600, 2) + ":" + Self.digits(time / 60 % 60, 2) + ":"
            + Self.digits(time % 60, 2) + "." + Self.digits(milliseconds % 1000, 3) + "Z"
    }

    /// The date of a day, days counted from 1970-01-01. Years begin in March, so that the leap day
    /// is a year's last; 400 years have 146,097 days.
    /// https://howardhinnant.github.io/date_algorithms.html#civil_from_days
    private static func date(dayNumber: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
        let shifted = dayNumber + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func digits(_ number: UInt64, _ count: Int) -> String {
        let text = "\(number)"
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
}
