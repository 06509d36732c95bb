// How often, and after how long, a host that died is started again.

import BatonCore
import Testing

@Suite("The restart policy")
struct RestartPolicyTests {
    private func moment(_ milliseconds: UInt64) -> Moment {
        Moment(nanoseconds: milliseconds * 1_000_000)
    }

    @Test("The first restart is at once, each further one after twice as long")
    func backoff() {
        var policy = RestartPolicy(restarts: 5, period: .seconds(30))
        let waits = (0..<5).map { policy.died(at: moment($0), wasNormal: false) }
        #expect(
            waits == [0, 100, 200, 400, 800].map { .restart(after: .milliseconds($0)) })
    }

    @Test("One death more than it may have within the period stops it, with the reason")
    func stops() {
        var policy = RestartPolicy(restarts: 2, period: .seconds(30))
        _ = policy.died(at: moment(0), wasNormal: false)
        _ = policy.died(at: moment(10), wasNormal: false)
        guard case .stop(let reason) = policy.died(at: moment(20), wasNormal: false) else {
            Issue.record("the third death should stop it")
            return
        }
        #expect(reason.hasPrefix("its host died 3 times in 30 s: "))
        #expect(reason.contains("baton reload") && reason.contains("baton resume"))
        guard case .stop = policy.died(at: moment(30), wasNormal: false) else {
            Issue.record("it should stay stopped within the period")
            return
        }
    }

    @Test("A death as long ago as the period still counts, an older one does not")
    func period() {
        var policy = RestartPolicy(restarts: 1, period: .seconds(30))
        _ = policy.died(at: moment(0), wasNormal: false)
        var other = policy
        #expect(
            other.died(at: moment(30_001), wasNormal: false) == .restart(after: .milliseconds(0)))
        guard case .stop = policy.died(at: moment(30_000), wasNormal: false) else {
            Issue.record("30 s ago lies within 30 s")
            return
        }
    }

    @Test("With none allowed, the first death stops it")
    func never() {
        var policy = RestartPolicy(restarts: 0, period: .seconds(30))
        guard case .stop = policy.died(at: moment(0), wasNormal: false) else {
            Issue.record("no restart is allowed")
            return
        }
    }

    /// OTP's table: which ends are followed by a start.
    @Test("Deaths that were a message's fault are excused, but for one")
    func excused() {
        var policy = RestartPolicy(restarts: 2, period: .seconds(30))
        for message in 0..<2 {
            for attempt in 0..<2 {
                _ = policy.died(at: moment(UInt64(message * 3 + attempt)), wasNormal: false)
            }
            // The third death over it: it is set aside.
            policy.excuse(2)
            let decision = policy.died(at: moment(UInt64(message * 3 + 2)), wasNormal: false)
            if case .stop = decision { Issue.record("stopped at message \(message)") }
        }
        guard case .stop = policy.died(at: moment(7), wasNormal: false) else {
            Issue.record("three messages in a row are more than may be")
            return
        }
        policy.excuse(100)
        #expect(policy.died(at: moment(8), wasNormal: false) == .restart(after: .milliseconds(0)))
    }

    private static let types: [(type: RestartType, wasNormal: Bool, isRestarted: Bool)] = [
        (.permanent, true, true), (.permanent, false, true),
        (.transient, true, false), (.transient, false, true),
        (.temporary, true, false), (.temporary, false, false),
    ]

    @Test("Permanent, transient and temporary are as in OTP", arguments: types)
    func type(_ type: RestartType, wasNormal: Bool, isRestarted: Bool) {
        var policy = RestartPolicy(restarts: 1, period: .seconds(30), type: type)
        let decision = policy.died(at: moment(0), wasNormal: wasNormal)
        switch decision {
        case .restart(let wait):
            #expect(isRestarted && wait == .milliseconds(0))
        case .stop(let reason):
            #expect(!isRestarted && reason.contains("'baton resume'"), "\(reason)")
        }
        // An end that is none to be mended does not count as a death.
        policy.change(restarts: 1, period: .seconds(30), type: .permanent)
        let next = policy.died(at: moment(1), wasNormal: false)
        #expect((next == .restart(after: .milliseconds(0))) == !isRestarted)
    }

    @Test("Other bounds hold from the next death on, and earlier deaths still count")
    func changed() {
        var policy = RestartPolicy(restarts: 1, period: .seconds(30))
        _ = policy.died(at: moment(0), wasNormal: false)
        policy.change(restarts: 2, period: .seconds(30), type: .permanent)
        #expect(
            policy.died(at: moment(1), wasNormal: false) == .restart(after: .milliseconds(100)))
        policy.change(restarts: 5, period: .milliseconds(10), type: .permanent)
        #expect(policy.died(at: moment(60), wasNormal: false) == .restart(after: .milliseconds(0)))
    }

    @Test("Forgiven, it begins anew")
    func forgiven() {
        var policy = RestartPolicy(restarts: 1, period: .seconds(30))
        _ = policy.died(at: moment(0), wasNormal: false)
        policy.forgive()
        #expect(policy.died(at: moment(1), wasNormal: false) == .restart(after: .milliseconds(0)))
    }

    @Test("However many it may have, no wait is shorter than the one before it")
    func manyRestarts() {
        var policy = RestartPolicy(restarts: 200, period: .seconds(30))
        var last = Moment.Span(nanoseconds: 0)
        for _ in 0..<200 {
            guard case .restart(let wait) = policy.died(at: moment(1), wasNormal: false) else {
                Issue.record("200 are allowed")
                return
            }
            #expect(wait >= last)
            last = wait
        }
    }
}
