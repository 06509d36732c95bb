// Timestamp: the calendar.

import BatonCore
import Testing

@Suite("Timestamps")
struct TimestampTests {
    @Test(
        "They are told as RFC 3339 in UTC, with milliseconds",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_007, "2024-02-29T00:00:00.007Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ])
    func text(milliseconds: UInt64, expected: String) {
        #expect("\(Timestamp(milliseconds: milliseconds))" == expected)
    }
}
