// RESPWriter and DecimalText: the bytes of each type of reply.

import BatonWire
import Testing

@Suite("RESP writer")
struct RESPWriterTests {
    private func written(
        _ version: RESPWriter.Version = .two, _ write: (RESPWriter, inout [UInt8]) -> Void
    ) -> String {
        var output: [UInt8] = []
        write(RESPWriter(version: version), &output)
        return String(decoding: output, as: UTF8.self)
    }

    @Test("each type is written as the protocol says")
    func types() {
        #expect(written { $0.simpleString("OK", to: &$1) } == "+OK\r\n")
        #expect(written { $0.integer(0, to: &$1) } == ":0\r\n")
        #expect(written { $0.integer(-17, to: &$1) } == ":-17\r\n")
        #expect(written { $0.bulk("pong", to: &$1) } == "$4\r\npong\r\n")
        #expect(written { $0.bulk([], to: &$1) } == "$0\r\n\r\n")
        #expect(written { $0.bulk([13, 10, 0], to: &$1) } == "$3\r\n\r\n\0\r\n")
        #expect(written { $0.array(2, to: &$1) } == "*2\r\n")
    }

    @Test("null and maps depend on the protocol's version")
    func versions() {
        #expect(written(.two) { $0.null(to: &$1) } == "$-1\r\n")
        #expect(written(.three) { $0.null(to: &$1) } == "_\r\n")
        #expect(written(.two) { $0.map(3, to: &$1) } == "*6\r\n")
        #expect(written(.three) { $0.map(3, to: &$1) } == "%3\r\n")
    }

    @Test("a line end in a line becomes a space")
    func sanitised() {
        #expect(
            written { $0.error("BUSY", "a\r\nb\n+OK", to: &$1) } == "-BUSY a  b +OK\r\n")
        #expect(written { $0.error("POISON\r\n", to: &$1) } == "-POISON  \r\n")
        #expect(written { $0.simpleString("a\nb", to: &$1) } == "+a b\r\n")
    }

    @Test("numbers of every length are written as they are")
    func numbers() {
        var values: [Int64] = [0, .max, .min]
        var power: Int64 = 1
        while power < .max / 10 {
            values += [power, power - 1, power + 1, -power, power * 9]
            power *= 10
        }
        for value in values {
            var output: [UInt8] = []
            DecimalText.append(value, to: &output)
            #expect(String(decoding: output, as: UTF8.self) == value.description)
        }
        #expect(written { $0.integer(UInt64.max, to: &$1) } == ":\(Int64.max)\r\n")
    }

    @Test("a number is read when it is digits only")
    func parsed() {
        func parse(_ text: String) -> Int? {
            unsafe Array(text.utf8).withUnsafeBytes { unsafe DecimalText.parse($0) }
        }
        #expect(parse("0") == 0)
        #expect(parse("5000") == 5000)
        #expect(parse("999999999999999999") == 999_999_999_999_999_999)
        for text in ["", "-1", "+1", " 1", "1 ", "01", "1a", "9223372036854775807", "1.5"] {
            #expect(parse(text) == nil, "\(text)")
        }
    }
}
