// CRC32C: what the CPU computes is what the table says, and both are what the standard says.

import CLinux
import Testing

@Suite("CRC32C")
struct ChecksumTests {
    private func both(_ bytes: [UInt8], seed: UInt32 = 0) -> [UInt32] {
        unsafe bytes.withUnsafeBytes {
            unsafe [
                baton_crc32c(seed, $0.baseAddress, $0.count),
                baton_crc32c_table(seed, $0.baseAddress, $0.count),
            ]
        }
    }

    @Test(
        "The vectors of RFC 3720, and the check value of the catalogue",
        arguments: [
            (Array("123456789".utf8), 0xe306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            (Array(0..<32), 0x46dd_794e),
            (Array((0..<32).reversed()), 0x113f_db5c),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func vectors(bytes: [UInt8], crc: UInt32) {
        #expect(both(bytes) == [crc, crc])
    }

    @Test("Hardware and table agree on every length, alignment and seed")
    func agreement() {
        var generator = SeededGenerator(state: 3)
        let bytes = (0..<600).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var differences = 0
        for start in 0..<16 {
            for count in 0..<520 {
                let crcs = both(
                    Array(bytes[start..<start + count]),
                    seed: .random(in: 0 ... .max, using: &generator))
                if crcs[0] != crcs[1] { differences += 1 }
            }
        }
        #expect(differences == 0)
    }

    @Test("The CRC of a part seeds that of the rest")
    func parts() {
        let bytes = (0..<100).map { UInt8($0) }
        for cut in 0...100 {
            let first = both(Array(bytes[..<cut]))[0]
            #expect(both(Array(bytes[cut...]), seed: first) == both(bytes))
        }
    }

    @Test("Different seeds give different sums: a record is valid in one place only")
    func seeds() {
        let bytes = [UInt8](repeating: 9, count: 28)
        let sums = Set(
            (0..<10_000 as Range<UInt32>).map { both(bytes, seed: $0 &* 0x9e37_79b1)[0] })
        #expect(sums.count == 10_000)
    }
}
