// Base64Text and PrintableText: messages as dead letters are shown.

import BatonWire
import Testing

@Suite("Messages shown")
struct MessageTextTests {
    @Test(
        "Base64 as RFC 4648 has it",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
        ])
    func base64(text: String, encoded: String) {
        #expect(Base64Text.encode(Array(text.utf8)) == encoded)
    }

    @Test("Base64 of bytes that use the whole alphabet")
    func base64Bytes() {
        #expect(Base64Text.encode([0xff, 0xfe, 0xfb, 0xef]) == "//777w==")
    }

    @Test("Text is shown as it is, control characters and other bytes as dots")
    func printable() {
        func shown(_ bytes: [UInt8], limit: Int = 256) -> String {
            PrintableText.prefix(of: bytes, limit: limit)
        }
        #expect(shown(Array("hello, wörld".utf8)) == "hello, wörld")
        #expect(shown(Array("a\nb\u{1b}[31mc\u{85}".utf8)) == "a.b.[31mc.")
        #expect(shown([0x61, 0xff, 0xc3, 0x62]) == "a..b")
        #expect(shown(Array("abcdef".utf8), limit: 3) == "abc")
        #expect(shown(Array("äöü".utf8), limit: 3) == "ä")
        #expect(shown(Array("äöü".utf8), limit: 4) == "äö")
        #expect(shown(Array("€".utf8), limit: 2) == "")
        #expect(shown([]) == "")
    }
}
