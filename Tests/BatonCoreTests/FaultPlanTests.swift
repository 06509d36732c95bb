// What `--die-at` takes.

import BatonCore
import Testing

@Suite("Faults on demand")
struct FaultPlanTests {
    @Test("A point alone is batond's, a victim stands before it")
    func plans() throws {
        let batond = try #require(FaultPlan("switch-written"))
        #expect(batond.victim == .batond && batond.point == .switchWritten)
        for victim in FaultPlan.Victim.allCases {
            for point in FaultPoint.allCases {
                let text = "\(victim.rawValue)@\(point.rawValue)"
                let plan = try #require(FaultPlan(text))
                #expect(plan.victim == victim && plan.point == point)
                #expect(plan.description == text && plan.time == 1)
                let third = try #require(FaultPlan("\(text):3"))
                #expect(third.victim == victim && third.point == point && third.time == 3)
                #expect(third.description == "\(text):3")
            }
        }
    }

    @Test(
        "Anything else is none",
        arguments: [
            "", "@", "suspend", "host@suspended", "current@", "current@old@resumed", "resumed:",
            "resumed:0",
            "resumed:1:1", "resumed:x", ":1",
        ])
    func nonsense(text: String) { #expect(FaultPlan(text) == nil) }
}
