// The sleep handshake loses no wake-up, and the tests could tell if it did.

import Testing

@Suite("The sleep handshake")
struct HandshakeTests {
    @Test(
        "In every interleaving the sleeper sees everything", arguments: 1...6 as ClosedRange<UInt8>)
    func isSound(values: UInt8) {
        let findings = Handshake(values: values).explore()
        #expect(findings.lostWakeUps == 0)
        #expect(findings.interleavings > 1)
        print(
            "handshake, \(values) published: \(findings.interleavings) interleavings, "
                + "\(findings.states) states, none loses a wake-up")
    }

    @Test(
        "Each of its parts is needed: without it, a wake-up is lost",
        arguments: [
            Handshake(looksAgain: false), Handshake(isOrdered: false),
            Handshake(storesFirst: false),
        ])
    func everyPartIsNeeded(broken: Handshake) {
        let findings = broken.explore()
        #expect(findings.lostWakeUps > 0)
        #expect(findings.lostWakeUps < findings.interleavings)
    }
}
