// The digest of an image, as bytes and as text.

import BatonCore
import Testing

@Suite("An image's digest")
struct ImageDigestTests {
    private let bytes = (0..<32).map { UInt8($0 * 8 + 7) }

    @Test("It is written as 64 hexadecimal digits and read back from them")
    func text() throws {
        let digest = try #require(ImageDigest(bytes))
        #expect(
            digest.description == "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff"
        )
        #expect(digest.short == "070f171f272f")
        #expect(ImageDigest(hex: digest.description) == digest)
    }

    @Test("Every byte has its own two digits")
    func everyByte() throws {
        for byte in UInt8.min...UInt8.max {
            let digest = try #require(ImageDigest([UInt8](repeating: byte, count: 32)))
            #expect(ImageDigest(hex: digest.description)?.bytes == digest.bytes)
        }
    }

    @Test("It has 32 bytes, neither more nor fewer", arguments: [0, 1, 31, 33, 64])
    func length(count: Int) {
        #expect(ImageDigest([UInt8](repeating: 0, count: count)) == nil)
    }

    @Test(
        "Text that is not 64 lower-case digits is none",
        arguments: [
            "", "00", String(repeating: "0", count: 63), String(repeating: "0", count: 65),
            String(repeating: "A", count: 64), String(repeating: "0", count: 63) + "g",
            String(repeating: " ", count: 64), "0x" + String(repeating: "0", count: 62),
            String(repeating: "é", count: 32),
        ])
    func badText(text: String) {
        #expect(ImageDigest(hex: text) == nil)
    }
}
