// RESPParser: what is a request, what is none, and that it never matters how the bytes were cut.

import BatonWire
import Testing

@Suite("RESP parser")
struct RESPParserTests {
    @Test("an array of bulk strings is a command")
    func array() {
        let conversation = converse("*3\r\n$4\r\nCALL\r\n$4\r\nping\r\n$7\r\npay\r\nad\r\n")
        #expect(conversation.texts == [["CALL", "ping", "pay\r\nad"]])
        #expect(conversation.end == nil)
    }

    @Test("an argument may be empty")
    func emptyArgument() {
        #expect(converse("*2\r\n$4\r\nPING\r\n$0\r\n\r\n").texts == [["PING", ""]])
    }

    @Test("pipelined commands come one by one")
    func pipelined() {
        let conversation = converse("*1\r\n$4\r\nPING\r\nPING a\n*1\r\n$4\r\nQUIT\r\n")
        #expect(conversation.texts == [["PING"], ["PING", "a"], ["QUIT"]])
    }

    @Test("an empty array, a null array and an empty line are commands without arguments")
    func nothing() {
        #expect(converse("*0\r\n*-1\r\n\r\n\n  \nPING\n").texts == [[], [], [], [], [], ["PING"]])
    }

    @Test(
        "an inline command is split as Redis splits it",
        arguments: [
            ("CALL ping hello\r\n", ["CALL", "ping", "hello"]),
            ("CALL ping hello\n", ["CALL", "ping", "hello"]),
            ("  CALL \t ping  \n", ["CALL", "ping"]),
            (#"CALL ping "two words""#, ["CALL", "ping", "two words"]),
            (#"CALL "a\n\r\t\\\"\x41\q\xZZ\b\a""#, ["CALL", "a\n\r\t\\\"AqxZZ\u{8}\u{7}"]),
            (#"CALL ping 'a\n\'"b'"#, ["CALL", "ping", #"a\n'"b"#]),
            (#"CALL pi"ng" "" '' \n"#, ["CALL", "ping", "", "", #"\n"#]),
            ("CALL ping a\rb\n", ["CALL", "ping", "a\rb"]),
            ("$4 x*1\n", ["$4", "x*1"]),
        ])
    func inline(line: String, expected: [String]) {
        let line = line.utf8.last == 10 ? line : line + "\n"
        #expect(converse(line).texts == [expected])
        #expect(converse(line + line).texts == [expected, expected])
    }

    @Test(
        "unbalanced quotes are an error",
        arguments: [#"CALL ping "a"#, "CALL ping 'a", #"CALL "a"b"#, #"CALL 'a'b"#, #"CALL "a\"#])
    func unbalanced(line: String) {
        #expect(
            converse(line + "\n").end
                == .protocolError(
                    "unbalanced quotes: close each quote, and put a blank or the line's end after it"
                ))
    }

    @Test(
        "what is not a strict RESP length is a protocol error",
        arguments: [
            "*\r\n", "*x\r\n", "*+1\r\n", "* 1\r\n", "*1 \r\n", "*01\r\n", "*00\r\n", "*-0\r\n",
            "*-2\r\n", "*-10\r\n", "*--1\r\n", "*1\n", "*1\rx", "*1x\r\n", "*0x1\r\n",
            "*9223372036854775808\r\n", "*99999999999999999999999999999999999999999\r\n",
            "*1\r\n$\r\n", "*1\r\n$x\r\n", "*1\r\n$-1\r\n", "*1\r\n$-5\r\n", "*1\r\n$+4\r\n",
            "*1\r\n$ 4\r\n", "*1\r\n$04\r\n", "*1\r\n$4\n", "*1\r\n$9223372036854775807\r\n",
            "*1\r\n$9223372036854775808\r\n", "*1\r\n$18446744073709551616\r\n",
            "*1\r\n$-9223372036854775808\r\n",
            "*1\r\n$9999999999999999999999999999999999999999\r\n",
        ])
    func malformed(text: String) throws {
        let end = try #require(converse(text).end)
        guard case .protocolError(let message) = end else {
            Issue.record("\(end) is no protocol error")
            return
        }
        #expect(message.contains("expected a length in decimal digits"))
        #expect(message.contains("send RESP arrays of bulk strings or an inline command"))
    }

    @Test("a wrong type within an array is named, with what to send")
    func wrongType() {
        let advice = "send RESP arrays of bulk strings or an inline command"
        #expect(converse("*1\r\nx").end == .protocolError("expected '$', got 'x': \(advice)"))
        #expect(converse("*1\r\n\0").end == .protocolError("expected '$', got 0x00: \(advice)"))
        #expect(converse("*1\r\n*").end == .protocolError("expected '$', got '*': \(advice)"))
    }

    @Test(
        "an argument without CRLF behind it is an error",
        arguments: ["PINGxx", "PING\r\r", "PING\n\n"])
    func missingLineEnd(argument: String) throws {
        let end = try #require(converse("*1\r\n$4\r\n\(argument)").end)
        guard case .protocolError(let message) = end else {
            Issue.record("\(end) is no protocol error")
            return
        }
        #expect(message.hasPrefix("expected CRLF after 4 bytes"))
    }

    @Test("every split into two pieces, and byte by byte, gives the same commands")
    func splits() {
        for stream in Self.streams {
            let bytes = Array(stream.utf8)
            let whole = converse([bytes[...]])
            for cut in bytes.indices {
                #expect(converse([bytes[..<cut], bytes[cut...]]) == whole, "cut at \(cut)")
            }
            #expect(converse(bytes.indices.map { bytes[$0...$0] }) == whole)
        }
    }

    static let streams = [
        "*3\r\n$4\r\nCALL\r\n$4\r\nping\r\n$7\r\npay\r\nad\r\n*1\r\n$4\r\nPING\r\n",
        "PING\r\n*0\r\n\r\n*-1\r\nCALL ping \"a\\x41 b\" 'c d'\n*2\r\n$0\r\n\r\n$1\r\n\n\r\nQUIT\n",
        "*1\r\n$12\r\nabcdefghijkl\r\n*1\r\n$4\r\nPINGxx",
        "*1\r\n$4\r\nPING\r\n*1\r\n$-1\r\n",
        "CALL \"x\n",
        "*12\r\n" + String(repeating: "$1\r\nx\r\n", count: 12) + "*2\r\nx",
    ]

    @Test("100,000 random and mutated inputs neither trap nor depend on how they are cut")
    func random() {
        var generator = SeededGenerator(state: 2026)
        let alphabet = Array("*$-+0123456789\r\n \"'\\xACPING".utf8)
        let limits = RESPParser.Limits(bulk: 40, arguments: 6, inline: 50, command: 400)
        for round in 0..<100_000 {
            var bytes: [UInt8]
            if round % 2 == 0 {
                let length = Int.random(in: 0...40, using: &generator)
                bytes = (0..<length).map { _ in
                    alphabet.randomElement(using: &generator) ?? 0
                }
            } else {
                bytes = Array(
                    (Self.streams.randomElement(using: &generator) ?? "").utf8)
                for _ in 0...Int.random(in: 0...3, using: &generator) {
                    let index = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0...3, using: &generator) {
                    case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
                    case 1: bytes[index] = alphabet.randomElement(using: &generator) ?? 0
                    case 2 where bytes.count > 1: bytes.remove(at: index)
                    default:
                        bytes.insert(alphabet.randomElement(using: &generator) ?? 0, at: index)
                    }
                }
            }
            let whole = converse([bytes[...]], limits: limits)
            let cut = Int.random(in: 0...bytes.count, using: &generator)
            let parted = converse([bytes[..<cut], bytes[cut...]], limits: limits)
            if whole != parted {
                Issue.record("round \(round), cut at \(cut): \(bytes)")
                return
            }
        }
    }
}
