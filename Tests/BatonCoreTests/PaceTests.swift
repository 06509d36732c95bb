// What one client may be ahead of a service: as much as keeps it busy for a moment, however fast it is.

import BatonCore
import Testing

@Suite("Pace")
struct PaceTests {
    private func pace(handling count: UInt64, in span: Moment.Span, times: Int = 100) -> Pace {
        var pace = Pace()
        for _ in 0..<times { pace.handled(count, in: span) }
        return pace
    }

    @Test("What waits of one client keeps its service busy for about a millisecond")
    func window() {
        // 4 million a second, then 100,000, each for 50 µs at a time.
        let microseconds = Moment.Span(nanoseconds: 50_000)
        #expect(3500...4500 ~= pace(handling: 200, in: microseconds).window)
        #expect(90...110 ~= pace(handling: 5, in: microseconds).window)
    }

    @Test("A slow service has a few waiting nevertheless, one that is not known some more")
    func bounds() {
        #expect(Pace().window == 64)
        #expect(pace(handling: 1, in: .seconds(60)).window == 16)
    }

    @Test("It follows a service that becomes fast, or slow, within some hundred looks")
    func follows() {
        var pace = pace(handling: 1, in: .seconds(60))
        for _ in 0..<200 { pace.handled(16, in: Moment.Span(nanoseconds: 16_000)) }
        #expect(pace.window > 900)
        for _ in 0..<100 { pace.handled(1, in: .milliseconds(1)) }
        #expect(pace.window == 16)
    }

    @Test("No count and no time of any size leads it astray")
    func extremes() {
        var pace = Pace()
        pace.handled(0, in: .seconds(1))
        #expect(pace == Pace())
        for _ in 0..<100 { pace.handled(.max, in: Moment.Span(nanoseconds: .max)) }
        for _ in 0..<100 { pace.handled(.max, in: Moment.Span(nanoseconds: 0)) }
        #expect(pace.window >= 16)
    }
}
