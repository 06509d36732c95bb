// Everything that can go wrong, at every place of a small mailbox's story.

import BatonStore
import Testing

@Suite("A small mailbox, with every fault at every place")
struct ExhaustiveTests {
    private func tell(_ ordeal: Ordeal) {
        let counts = ordeal.counts.sorted { $0.key.rawValue < $1.key.rawValue }
        let text = counts.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
        print("every fault: \(text): all right")
    }

    @Test("Every write is cut at every byte, and the power after every event")
    func cuts() throws {
        var ordeal = Ordeal(step: Thoroughness.step)
        try ordeal.cutEverywhere()
        tell(ordeal)
    }

    @Test("Every sync fails once")
    func syncs() throws {
        var ordeal = Ordeal()
        try ordeal.failEverySync()
        tell(ordeal)
    }

    @Test("Every system call fails once with every error it can have, or does half")
    func calls() throws {
        var ordeal = Ordeal(step: Thoroughness.step)
        try ordeal.failEveryCall()
        try ordeal.fillDisk()
        tell(ordeal)
    }

    @Test("Every bit is flipped")
    func bits() throws {
        var ordeal = Ordeal(step: Thoroughness.step)
        try ordeal.flipEveryBit(ofAll: Thoroughness.isExhaustive)
        tell(ordeal)
    }

    @Test("Parts of another copy of it stand in it")
    func copies() throws {
        var ordeal = Ordeal()
        try ordeal.mixCopies()
        tell(ordeal)
    }
}
