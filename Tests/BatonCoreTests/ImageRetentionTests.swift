// ImageRetention: what stays in the image store.

import BatonCore
import Testing

@Suite("Image retention")
struct ImageRetentionTests {
    private func image(_ number: UInt8) throws -> ImageDigest {
        try #require(ImageDigest([UInt8](repeating: number, count: ImageDigest.byteCount)))
    }

    private func images(_ numbers: UInt8...) throws -> [ImageDigest] { try numbers.map(image) }

    @Test("What one service uses stays, whatever the others do")
    func used() throws {
        var retention = ImageRetention()
        retention.add(used: Set(try images(1, 2)), history: [])
        retention.add(used: [], history: [])
        #expect(try !retention.mayGo(image(1)) && !retention.mayGo(image(2)))
        #expect(try retention.mayGo(image(3)))
    }

    @Test("Of what a service ran before, the last few stay, each counted once")
    func cold() throws {
        #expect(FixedLimits.coldImages == 4)
        let history = try images(1, 2, 3, 4, 5, 6, 5, 7, 8)
        let cold = ImageRetention.cold(used: Set(try images(8, 6)), history: history)
        #expect(try cold == images(7, 5, 4, 3))
        var retention = ImageRetention()
        retention.add(used: Set(try images(8, 6)), history: history)
        let mayGo = try (1...8).filter { retention.mayGo(try image($0)) }
        #expect(mayGo == [1, 2])
    }

    @Test("A history shorter than the limit stays as it is")
    func short() throws {
        #expect(try ImageRetention.cold(used: [], history: images(1, 2)) == images(2, 1))
        #expect(ImageRetention.cold(used: [], history: []) == [])
    }
}
