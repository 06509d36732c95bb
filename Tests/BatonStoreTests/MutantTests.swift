// The tests of what may never be lost can fail: each mutant of the store is found by them.

import Testing

@Suite("Mutants of the store")
struct MutantTests {
    /// What the tests find first, of less than they try.
    private static func finding(of mutant: Mutant) -> String? {
        do {
            var ordeal = Ordeal(mutant, step: 31)
            try ordeal.mixCopies()
            try ordeal.fillDisk()
            try ordeal.cutEverywhere()
            try ordeal.failEverySync()
            try ordeal.flipEveryBit(ofAll: false)
            try ordeal.failEveryCall()
        } catch { return "\(error)" }
        return nil
    }

    @Test("Each is caught")
    func caught() async {
        let findings = await withTaskGroup(of: (Mutant, String?).self) { group in
            for mutant in Mutant.allCases {
                group.addTask { (mutant, Self.finding(of: mutant)) }
            }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        for mutant in Mutant.allCases {
            print("a store that \(mutant): \(findings[mutant]?.prefix(100) ?? "not caught")")
            #expect(findings[mutant] != nil, "a store that \(mutant) is not caught")
        }
        print("mutants caught: \(findings.count) of \(Mutant.allCases.count)")
    }
}
