// What one client may have of the memory for all: much while there is much, and a little always.

import BatonCore
import Testing

@Suite("Memory of clients")
struct ClientMemoryTests {
    @Test("One client has a quarter of what is free; what is given back is free again")
    func quarter() {
        var memory = ClientMemory(budget: 256 << 20)
        #expect(memory.allowance == 64 << 20)
        memory.charge(128 << 20)
        #expect(memory.allowance == 32 << 20)
        memory.charge(-(128 << 20))
        #expect(memory.used == 0 && memory.allowance == 64 << 20)
    }

    @Test("However many take all they may, the budget holds, and one more has its little")
    func greedy() {
        var memory = ClientMemory(budget: 64 << 20)
        var taken = [Int](repeating: 0, count: 1000)
        for _ in 0..<20 {
            for client in taken.indices where taken[client] < memory.allowance {
                memory.charge(64 << 10)
                taken[client] += 64 << 10
            }
        }
        #expect(memory.used <= 64 << 20 + 1000 * (64 << 10))
        #expect(memory.used > 60 << 20)
        #expect(memory.allowance <= 64 << 10)
        // As messages that were being read when the rest went.
        memory.charge(64 << 20)
        #expect(memory.allowance == 16 << 10)
    }
}
