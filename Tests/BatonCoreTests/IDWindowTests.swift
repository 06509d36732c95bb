// What is remembered of messages that bear ids: found again, forgotten in order, never what waits.

import BatonCore
import Testing

@Suite("The window of ids")
struct IDWindowTests {
    private static let wide = IDWindow.Bounds(count: 100, bytes: 1 << 20, ageMilliseconds: 1000)

    private func identity(_ id: String, client: String = "a", at: UInt64 = 0) -> IDWindow.Identity {
        IDWindow.Identity(
            key: IDWindow.Key(client: Array(client.utf8), id: Array(id.utf8)), digest: 7, at: at)
    }

    /// Messages 10, 20, ... bear ids "1", "2", ...; each came a millisecond after the one before.
    private func window(_ count: UInt64) -> IDWindow {
        var window = IDWindow()
        for number in 1...count {
            let fits = window.remember(
                identity("\(number)", at: number), sequence: number * 10, forgetting: 0)
            #expect(fits)
        }
        return window
    }

    @Test("A message is found by its client and id, and by its number")
    func found() {
        let window = window(5)
        let entry = window.entry(of: identity("3").key)
        #expect(entry?.sequence == 30 && entry?.answer == nil)
        #expect(window.entry(of: 30) == entry)
        #expect(window.entry(of: identity("3", client: "b").key) == nil)
        #expect(window.entry(of: 31) == nil && window.entry(of: 0) == nil)
        #expect(window.count == 5 && !window.isEmpty)
    }

    @Test("The next message with an id is the first behind")
    func next() {
        let window = window(3)
        #expect(window.next(after: 0) == 10 && window.next(after: 9) == 10)
        #expect(window.next(after: 10) == 20 && window.next(after: 29) == 30)
        #expect(window.next(after: 30) == nil && window.next(after: .max) == nil)
        #expect(IDWindow().next(after: 0) == nil)
    }

    @Test("An answer is kept with its message; the last one counts")
    func answers() {
        var window = window(3)
        let fits = [
            window.answer(20, .reply([1, 2]), at: 5, forgetting: 0),
            window.answer(20, .error(code: "NO", text: "why"), at: 6, forgetting: 0),
            window.answer(21, .reply([]), at: 7, forgetting: 0),
        ]
        #expect(fits == [true, true, false])
        #expect(window.entry(of: 20)?.answer == .error(code: "NO", text: "why"))
    }

    @Test("Its size is that of its entries, whatever happened")
    func size() {
        var window = window(50)
        for number in stride(from: 10 as UInt64, through: 500, by: 30) {
            _ = window.answer(
                number, .reply([UInt8](repeating: 1, count: Int(number))), at: nil,
                forgetting: number / 2)
        }
        #expect(window.byteCount == window.all.reduce(0) { $0 + $1.byteCount })
        #expect(window.all.first?.sequence == 250 && window.entry(of: identity("3").key) == nil)
        _ = window.answer(500, .reply([]), at: nil, forgetting: 500)
        #expect(window.isEmpty && window.byteCount == 0 && window.count == 0)
    }

    @Test("Beyond its count the oldest are forgotten, but only what is settled")
    func count() {
        let window = window(10)
        var bounds = Self.wide
        bounds.count = 8
        func forgettable(settled: UInt64, isEntry: Bool = true) -> UInt64 {
            window.forgettable(
                adding: 0, isEntry: isEntry, settled: settled, at: 0, bounds)
        }
        #expect(forgettable(settled: 100) == 30)
        #expect(forgettable(settled: 100, isEntry: false) == 20)
        #expect(forgettable(settled: 25) == 20)
        #expect(forgettable(settled: 9) == 0)
    }

    @Test("Beyond its bytes, or its age, as well")
    func bytesAndAge() {
        var window = window(10)
        for number in 1...10 as ClosedRange<UInt64> {
            _ = window.answer(
                number * 10, .reply([UInt8](repeating: 0, count: 80)), at: nil, forgetting: 0)
        }
        let each = window.byteCount / 10
        var bounds = Self.wide
        bounds.bytes = window.byteCount
        func forgettable(adding added: Int, at now: UInt64) -> UInt64 {
            window.forgettable(adding: added, isEntry: true, settled: 1000, at: now, bounds)
        }
        #expect(forgettable(adding: 0, at: 0) == 0)
        #expect(forgettable(adding: 1, at: 0) == 10)
        #expect(forgettable(adding: 2 * each, at: 0) == 20)
        // The fourth came at 4, and is a second old at 1004; over a second at 1005.
        #expect(forgettable(adding: 0, at: 1004) == 30)
        #expect(forgettable(adding: 0, at: 1005) == 40)
        #expect(forgettable(adding: 1 << 30, at: 0) == 100)
    }

    @Test(
        "Its age counts from its answer; if an earlier life has answered, from this life's beginning"
    )
    func age() throws {
        var window = window(3)
        _ = window.answer(10, .reply([]), at: nil, forgetting: 0)
        _ = window.answer(20, .reply([]), at: 5000, forgetting: 0)
        window.begun = 3000
        func isPast(_ sequence: UInt64, at now: UInt64) throws -> Bool {
            window.isPast(try #require(window.entry(of: sequence)), at: now, Self.wide)
        }
        #expect(try !isPast(10, at: 4000) && isPast(10, at: 4001))
        #expect(try !isPast(20, at: 6000) && isPast(20, at: 6001))
        // A clock that was put back makes nothing old.
        #expect(try !isPast(20, at: 10))
        #expect(
            window.forgettable(
                adding: 0, isEntry: false, settled: 1000, at: 5500, Self.wide) == 10)
    }

    @Test("An id that comes again when it was past leads to the new message")
    func again() {
        var window = window(3)
        _ = window.remember(identity("2", at: 5000), sequence: 40, forgetting: 0)
        #expect(window.entry(of: identity("2").key)?.sequence == 40)
        // The older one goes; the newer stays to be found.
        _ = window.remember(identity("4", at: 5001), sequence: 50, forgetting: 30)
        #expect(window.entry(of: identity("2").key)?.sequence == 40)
        #expect(window.entry(of: identity("3").key) == nil && window.count == 2)
    }

    @Test("What does not follow is none of it")
    func order() {
        var window = window(3)
        let before = window
        let fits = [
            window.remember(identity("x"), sequence: 30, forgetting: 0),
            window.remember(identity("x"), sequence: 40, forgetting: 40),
            window.restore(IDWindow.Entry(sequence: 5, identity: identity("x"), answer: nil)),
        ]
        #expect(fits == [false, false, false])
        #expect(window == before)
    }

    @Test("Two are the same if they remember the same, however they came to it")
    func equality() {
        var one = IDWindow()
        for number in 1...3000 as ClosedRange<UInt64> {
            _ = one.remember(
                identity("\(number)", at: number), sequence: number,
                forgetting: number > 10 ? number - 10 : 0)
        }
        var other = IDWindow()
        for entry in one.all { _ = other.restore(entry) }
        #expect(one == other && one.count == 10 && one.byteCount == other.byteCount)
        #expect(one.entry(of: identity("2999").key)?.sequence == 2999)
        #expect(one.entry(of: identity("2990").key) == nil)
    }
}
