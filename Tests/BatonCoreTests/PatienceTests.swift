// How long a service waits for clients that do not read: for all of them together not much longer than
// for one.

import BatonCore
import Testing

@Suite("Patience")
struct PatienceTests {
    private let start = Moment(nanoseconds: 1_000_000_000_000)

    @Test("A hundred clients that do not read cost the others less than a second together")
    func many() {
        var patience = Patience()
        var now = start
        for _ in 1...100 {
            now = now.advanced(by: patience.span(at: now))
            patience.lose(at: now)
        }
        #expect(now.since(start) < .seconds(1))
        #expect(now.since(start) >= .milliseconds(250))
    }

    @Test("After a while without any, the next one has all the time again")
    func forgets() {
        var patience = Patience()
        #expect(patience.span(at: start) == .milliseconds(250))
        patience.lose(at: start)
        #expect(patience.span(at: start) == .milliseconds(125))
        let later = start.advanced(by: .seconds(10))
        #expect(patience.span(at: later) == .milliseconds(250))
        patience.lose(at: later)
        #expect(patience.span(at: later) == .milliseconds(125))
    }

    @Test(
        "Who reads a megabyte in a quarter of a second, or its part in a part of it, is fast enough"
    )
    func fast() {
        let patience = Patience()
        #expect(!patience.isOver(for: 1 << 20, in: .milliseconds(250)))
        #expect(patience.isOver(for: 1 << 20 - 1, in: .milliseconds(250)))
        #expect(!patience.isOver(for: 1 << 19, in: .milliseconds(125)))
        #expect(patience.isOver(for: 0, in: .milliseconds(2)))
    }
}
