// How fast a long log is read again. Told, not judged: a machine may be busy.

import BatonCore
import BatonLinux
import BatonStore
import Testing

@Suite("Recovery of a long log")
struct RecoverySpeedTests {
    @Test("64 MB of messages, of 64 bytes and of 4 KB, are read again", arguments: [64, 4096])
    func speed(messageBytes: Int) throws {
        let directory = try TemporaryDirectory()
        let life = try Life(directory)
        var bytes = 0
        while bytes < 64 << 20 {
            for _ in 0..<64 { try life.append(messageBytes) }
            try life.sync()
            bytes += 64 * (messageBytes + 32)
        }
        let begun = MonotonicClock.now()
        let again = try Life(directory)
        let took = MonotonicClock.now().since(begun)
        #expect(again.known == life.known)
        let megabytes = Double(again.report.bytesRead) / 1_000_000
        let rate = Int(megabytes / (Double(took.nanoseconds) / 1_000_000_000))
        print(
            "recovery of \(again.report.messages) messages of \(messageBytes) bytes: "
                + "\(Int(megabytes)) MB in \(took), \(rate) MB/s")
    }
}
