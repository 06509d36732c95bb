// Event: names, ids, and the words for people.

import BatonCore
import Testing

@Suite("Events")
struct EventTests {
    @Test("Every kind has a message id of its own, 32 hexadecimal digits")
    func messageIDs() {
        let ids = Event.Kind.allCases.map(\.messageID)
        #expect(Set(ids).count == Event.Kind.allCases.count)
        for id in ids {
            #expect(id.utf8.count == 32)
            #expect(id.allSatisfy { "0123456789abcdef".contains($0) }, "\(id)")
        }
    }

    @Test("A kind's name is lower case and underscores", arguments: Event.Kind.allCases)
    func names(kind: Event.Kind) {
        #expect(kind.rawValue.allSatisfy { $0.isLowercase || $0 == "_" })
    }

    @Test("Five kinds are phases, and each is its own")
    func phases() {
        let phases = Event.Kind.allCases.filter(\.isPhase)
        #expect(phases == [.prepare, .suspend, .purge, .load, .resume])
        for phase in phases { #expect(Event(phase).phase == phase.rawValue) }
        #expect(Event(.upgraded).phase == nil)
        #expect(Event(.refused, refusedIn: .load).phase == "load")
    }

    @Test("The words for people say all there is, and nothing that is not there")
    func texts() {
        let pause = Moment.Span(nanoseconds: 346_000)
        let texts: [(Event, String)] = [
            (Event(.prepare, from: "1", to: "2"), "prepare 1 → 2"),
            (Event(.load, duration: pause), "load after 346 µs"),
            (
                Event(.upgraded, from: "1", to: "2", message: 6, duration: pause),
                "upgraded 1 → 2 after message 6, paused 346 µs"
            ),
            (
                Event(.refused, from: "1", cause: "wrong ABI", refusedIn: .prepare),
                "refused in prepare: wrong ABI; stays at 1"
            ),
            (Event(.refused, cause: "no file"), "refused: no file"),
            (
                Event(.rolledBack, from: "2", to: "1", cause: "it crashed", message: 9),
                "rolled back 2 → 1 after message 9: it crashed"
            ),
            (Event(.started, to: "1"), "started 1"),
            (Event(.confirmed, to: "2", cause: "by hand"), "confirmed 2: by hand"),
            (
                Event(.hostEnded, cause: "signal 9", message: 4),
                "host ended: signal 9; in hand: message 4"
            ),
            (
                Event(.restarting, duration: .seconds(2)), "its host is started again in 2000 ms"
            ),
            (Event(.restarting, duration: .seconds(0)), "its host is started again at once"),
            (
                Event(.deadLetter, cause: "3 attempts", message: 4),
                "message 4 set aside: 3 attempts"
            ),
            (Event(.discarded, message: 4), "dead letter 4 discarded"),
            (Event(.ready, cause: "2 services"), "ready: 2 services"),
            (Event(.stopping), "stopping"),
        ]
        for (event, text) in texts { #expect(event.text == text) }
    }

    @Test("What an operator must see to weighs most")
    func weights() {
        #expect(Event.Kind.deadLetter.weight == .critical)
        #expect(Event.Kind.rolledBack.weight == .error)
        #expect(Event.Kind.hostEnded.weight == .warning)
        #expect(Event.Kind.upgraded.weight == .notable)
        #expect(Event.Kind.suspend.weight == .phase)
    }
}
