// What an operator is told of an upgrade.

import BatonCore
import Testing

@Suite("A verdict")
struct VerdictTests {
    private func verdict(_ outcome: Verdict.Outcome, from: String?, to: String?) throws -> Verdict {
        Verdict(
            service: try #require(ServiceName("counter")), from: from, to: to, digest: nil,
            outcome: outcome, total: .milliseconds(15))
    }

    @Test("Its line tells the versions, the pause, the phase and the reason")
    func summary() throws {
        let upgraded = Verdict.Outcome.upgraded(
            pause: Moment.Span(nanoseconds: 512_000), switchedAfter: SequenceNumber(5))
        #expect(
            try verdict(upgraded, from: "1", to: "2").summary
                == "upgraded 1 → 2 after message 5, paused 512 µs, 15 ms in all")
        #expect(try verdict(.started, from: nil, to: "1").summary == "started 1")
        #expect(try verdict(.current, from: "1", to: nil).summary == "already current: 1")
        let refused = try verdict(.refused(.load, reason: "no"), from: "1", to: "2")
        #expect(refused.summary == "refused in load: no; stays at 1")
    }

    @Test("Only a refusal is a refusal")
    func refusal() throws {
        #expect(try verdict(.refused(.prepare, reason: ""), from: nil, to: nil).isRefused)
        #expect(try !verdict(.current, from: "1", to: nil).isRefused)
        #expect(try !verdict(.started, from: nil, to: "1").isRefused)
    }
}
