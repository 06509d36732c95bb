// RESPParser: the largest of each kind is taken, one more is not.

import BatonWire
import Testing

@Suite("RESP limits")
struct RESPLimitTests {
    private let limits = RESPParser.Limits(bulk: 10, arguments: 3, inline: 20, command: 300)

    private func isTooBig(_ text: String) -> Bool {
        if case .tooBig = converse(text, limits: limits).end { return true }
        return false
    }

    @Test("the largest argument is taken, one byte more is not, before its bytes come")
    func bulk() {
        #expect(converse("*1\r\n$10\r\n0123456789\r\n", limits: limits).texts == [["0123456789"]])
        #expect(
            converse("*1\r\n$11\r\n", limits: limits).end
                == .tooBig(
                    "an argument of 11 bytes is over the limit of 10: send a smaller message"))
        #expect(isTooBig("*1\r\n$999999999999999999\r\n"))
    }

    @Test("as many arguments as allowed are taken, one more is not")
    func arguments() {
        #expect(
            converse("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", limits: limits).texts
                == [["a", "b", "c"]])
        #expect(isTooBig("*4\r\n"))
        #expect(isTooBig("*999999999999999999\r\n"))
        #expect(converse("a b c\n", limits: limits).texts == [["a", "b", "c"]])
        #expect(isTooBig("a b c d\n"))
    }

    @Test("the longest inline line is taken with either line end, one byte more is not")
    func inline() {
        let longest = String(repeating: "x", count: 20)
        #expect(converse(longest + "\n", limits: limits).texts == [[longest]])
        #expect(converse(longest + "\r\n", limits: limits).texts == [[longest]])
        #expect(isTooBig(longest + "x\n"))
        #expect(isTooBig(longest + "x\r\n"))
        #expect(isTooBig(longest + "xx"))
        #expect(converse(longest + "\r", limits: limits).end == nil)
    }

    @Test("a whole request has a limit, and a buffer of that size is always enough")
    func command() {
        let limits = RESPParser.Limits(bulk: 100, arguments: 100, inline: 20, command: 400)
        let argument = "$90\r\n" + String(repeating: "x", count: 90) + "\r\n"
        // 4 + 4 * 97 = 392 bytes, then a fifth argument that would go beyond 400.
        let four = "*4\r\n" + String(repeating: argument, count: 4)
        #expect(converse(four, limits: limits).commands.count == 1)
        let tooMany = "*5\r\n" + String(repeating: argument, count: 4) + "$90\r\n"
        guard case .tooBig = converse(tooMany, limits: limits).end else {
            Issue.record("the fifth argument went beyond the limit")
            return
        }
        // 400 bytes and still no whole request.
        let headers = "*70\r\n" + String(repeating: "$0\r\n\r\n", count: 65) + "$0\r\n\r"
        #expect(headers.utf8.count == 400)
        guard case .tooBig = converse(headers, limits: limits).end else {
            Issue.record("a full buffer asked for more")
            return
        }
    }

    @Test("the limit of a request leaves room for its largest argument and its longest line")
    func leastCommandLimit() {
        #expect(RESPParser.Limits(bulk: 1000, inline: 10, command: 1).command == 1256)
        #expect(RESPParser.Limits(bulk: 10, inline: 1000, command: 1).command == 1002)
        #expect(RESPParser.Limits().command == (1 << 20) + (64 << 10))
    }
}
