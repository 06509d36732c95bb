// What is a service's name, and which service an image file is for.

import BatonCore
import Testing

@Suite("A service name")
struct ServiceNameTests {
    @Test(
        "Letters, digits and hyphens after a letter, 63 bytes at most, are one",
        arguments: ["a", "ping", "a-", "a--b", "x9", "lib", String(repeating: "a", count: 63)])
    func accepted(text: String) throws {
        let name = try #require(ServiceName(text))
        #expect(name.text == text)
        #expect("\(name)" == text)
    }

    @Test(
        "Anything else is none",
        arguments: [
            "", "-a", "9a", "Ping", "pinG", "a_b", "a.b", "a b", " a", "a ", "a\n", "a\0", "a/b",
            "..",
            "é", "aé", "a\u{301}", String(repeating: "a", count: 64),
        ])
    func refused(text: String) {
        #expect(ServiceName(text) == nil)
    }

    @Test("Every single byte is judged by the rule")
    func everyByte() {
        for byte in UInt8.min...UInt8.max {
            let letter = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            let digit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            let first = String(decoding: [byte], as: UTF8.self)
            let second = String(decoding: [UInt8(ascii: "a"), byte], as: UTF8.self)
            #expect((ServiceName(first) != nil) == letter)
            #expect((ServiceName(second) != nil) == (letter || digit || byte == UInt8(ascii: "-")))
        }
    }

    @Test(
        "An image file's name says its service, with or without lib",
        arguments: [
            ("ping.so", "ping"), ("libping.so", "ping"), ("echo-c.so", "echo-c"), ("li.so", "li"),
            ("liblib.so", "lib"),
        ])
    func imageFile(file: String, service: String) {
        #expect(ServiceName(imageFile: file)?.text == service)
    }

    @Test(
        "Other files are for no service",
        arguments: [
            "", ".so", "lib.so", "ping", "ping.so.1", "ping.SO", "Ping.so", ".ping.so", "lib-x.so",
            "ping.so~", "libping.a", "ping.so\u{301}",
        ])
    func otherFile(file: String) {
        #expect(ServiceName(imageFile: file) == nil)
    }

    @Test("Names are ordered as texts are")
    func order() throws {
        let names = try ["ping", "a", "counter", "a-b"].map { try #require(ServiceName($0)) }
        #expect(names.sorted().map(\.text) == ["a", "a-b", "counter", "ping"])
    }
}
