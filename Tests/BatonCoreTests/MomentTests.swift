// Arithmetic with moments and lengths of time: none of it wraps or traps.

import BatonCore
import Testing

@Suite("A moment")
struct MomentTests {
    @Test("Later by a span, and back")
    func advance() {
        let moment = Moment(nanoseconds: 5)
        let later = moment.advanced(by: .milliseconds(3))
        #expect(later.nanoseconds == 3_000_005)
        #expect(later.since(moment) == .milliseconds(3))
        #expect(moment < later)
    }

    @Test("The time since something later is zero")
    func backwards() {
        let span = Moment(nanoseconds: 1).since(Moment(nanoseconds: 2))
        #expect(span == Moment.Span(nanoseconds: 0))
    }

    @Test("Beyond the end of time is the distant future")
    func saturates() {
        let late = Moment(nanoseconds: .max - 1)
        #expect(late.advanced(by: .seconds(1)) == .distantFuture)
        #expect(Moment.distantFuture.advanced(by: .seconds(1)) == .distantFuture)
    }

    @Test(
        "A span longer than can be told is the longest", arguments: [UInt64.max, 1 << 60, 1 << 55])
    func longSpans(count: UInt64) {
        #expect(Moment.Span.seconds(count).nanoseconds == .max)
        #expect(Moment.Span.seconds(count) > .seconds(1))
    }

    @Test("Units")
    func units() {
        let span = Moment.Span.seconds(2)
        #expect(span.milliseconds == 2000)
        #expect(span.microseconds == 2_000_000)
        #expect(span.nanoseconds == 2_000_000_000)
    }

    @Test(
        "It is told in the unit that suits it",
        arguments: [
            (0, "0 µs"), (999, "0 µs"), (512_000, "512 µs"), (9_999_999, "9999 µs"),
            (10_000_000, "10 ms"), (9_999_999_999, "9999 ms"), (10_000_000_000, "10 s"),
            (30_000_000_000, "30 s"),
        ] as [(UInt64, String)])
    func text(nanoseconds: UInt64, text: String) {
        #expect(Moment.Span(nanoseconds: nanoseconds).description == text)
    }
}

@Suite("A sequence number and a place in the log")
struct NumberTests {
    @Test("Messages are counted from the one after `earlier`")
    func distance() {
        #expect(SequenceNumber(7).distance(from: SequenceNumber(3)) == 4)
        #expect(SequenceNumber(3).distance(from: SequenceNumber(7)) == 0)
        #expect(SequenceNumber.none.next == SequenceNumber(1))
        #expect(SequenceNumber(3).advanced(by: 4) == SequenceNumber(7))
    }

    @Test(
        "Places are ordered by segment, then by offset",
        arguments: [
            (LogPosition(segment: 1, offset: .max), LogPosition(segment: 2, offset: 0)),
            (LogPosition(segment: 2, offset: 0), LogPosition(segment: 2, offset: 1)),
        ])
    func places(earlier: LogPosition, later: LogPosition) {
        #expect(earlier < later)
        #expect(LogPosition(word: later.word) == later)
        #expect(LogPosition(segment: later.segment, offset: later.offset) == later)
        #expect("\(later)" == "segment \(later.segment) offset \(later.offset)")
    }
}
