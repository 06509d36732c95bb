// JSONText: what it writes, a decoder reads.

import BatonWire
import Foundation
import Testing

@Suite("JSON text")
struct JSONTextTests {
    @Test("objects, arrays and values nest, with commas between them only")
    func nesting() {
        var json = JSONText()
        json.object { json in
            json.member("name", "ping")
            json.member("pid", 123)
            json.member("old_pid", Int?.none)
            json.member("reason", String?.none)
            json.member("ready", true)
            json.array("images") { json in
                json.object { $0.member("version", "1") }
                json.object { _ in }
                json.value(-5)
                json.value(UInt64.max)
                json.value(false)
                json.null()
                json.array { _ in }
            }
            json.object("last_upgrade") { $0.null("reason") }
            json.member("after", "x")
        }
        #expect(
            json.text == """
                {"name":"ping","pid":123,"old_pid":null,"reason":null,"ready":true,\
                "images":[{"version":"1"},{},-5,18446744073709551615,false,null,[]],\
                "last_upgrade":{"reason":null},"after":"x"}
                """)
    }

    @Test("strings are escaped so that a decoder reads them back")
    func escapes() throws {
        var json = JSONText()
        json.value("\"\\/\n\r\t\u{8}\u{0}\u{1f}\u{7f}é🎽")
        #expect(json.text == #""\"\\/\n\r\t\u0008\u0000\u001f"# + "\u{7f}é🎽\"")

        let every = String(String.UnicodeScalarView((0...0x2fff).compactMap(Unicode.Scalar.init)))
        var array = JSONText()
        array.array { $0.value(every) }
        let decoded = try JSONDecoder().decode([String].self, from: Data(array.bytes))
        #expect(decoded == [every])
    }

    @Test("bytes that are not UTF-8 are replaced")
    func invalid() {
        var json = JSONText()
        unsafe [UInt8(ascii: "a"), 0xff, 0xc3, UInt8(ascii: "b")].withUnsafeBytes {
            unsafe json.value($0)
        }
        #expect(json.text == "\"a\u{fffd}\u{fffd}b\"")
    }
}
