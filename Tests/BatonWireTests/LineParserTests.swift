// LineParser: lines, their limit, and that nothing is searched twice.

import BatonWire
import Testing

@Suite("Line parser")
struct LineParserTests {
    /// The lines of `pieces`, gathered and parsed as a connection does it; `nil` at the end stands
    /// for a line that is too long.
    private func lines(_ pieces: [String], maximumLine: Int = 1000) -> [String?] {
        var parser = LineParser(maximumLine: maximumLine)
        var buffer: [UInt8] = []
        var lines: [String?] = []
        for piece in pieces {
            buffer += piece.utf8
            var start = 0
            feeding: while true {
                switch unsafe buffer.withUnsafeBytes({ unsafe parser.next($0, from: start) }) {
                case .line(let range):
                    lines.append(String(decoding: buffer[range], as: UTF8.self))
                    start = range.upperBound + 1
                case .needMore:
                    break feeding
                case .tooBig:
                    return lines + [nil]
                }
            }
            buffer.removeFirst(start)
        }
        return lines
    }

    @Test("a line is any bytes but newline")
    func anyBytes() {
        #expect(lines(["ping\n\n\r\na\0b\r\n$4\n"]) == ["ping", "", "\r", "a\0b\r", "$4"])
    }

    @Test("half a line is no line")
    func halfALine() {
        #expect(lines(["ping\npo"]) == ["ping"])
        #expect(lines([""]) == [])
    }

    @Test("every split into two pieces, and byte by byte, gives the same lines")
    func splits() {
        let stream = "ping\n\nlonger line\r\nx\n\nhalf"
        let whole = lines([stream])
        for cut in 0...stream.utf8.count {
            let first = String(stream.utf8.prefix(cut)) ?? ""
            let second = String(stream.utf8.dropFirst(cut)) ?? ""
            #expect(lines([first, second]) == whole)
        }
        #expect(lines(stream.unicodeScalars.map { String($0) }) == whole)
    }

    @Test("the longest line is taken, one byte more is not, whether its end came or not")
    func limit() {
        #expect(lines(["12345\n12345\n"], maximumLine: 5) == ["12345", "12345"])
        #expect(lines(["12345", "\n"], maximumLine: 5) == ["12345"])
        #expect(lines(["1\n123456\n"], maximumLine: 5) == ["1", nil])
        #expect(lines(["1\n123456"], maximumLine: 5) == ["1", nil])
        #expect(lines(["1\n12345", "6"], maximumLine: 5) == ["1", nil])
        #expect(lines(["\n", "1"], maximumLine: 0) == ["", nil])
    }

    @Test("a long line that comes in pieces is searched once")
    func searchedOnce() {
        // A newline written behind the parser's back, in what it has searched, is not found.
        var parser = LineParser()
        var buffer = Array("abcdef".utf8)
        #expect(unsafe buffer.withUnsafeBytes { unsafe parser.next($0) } == .needMore)
        buffer[2] = UInt8(ascii: "\n")
        buffer += "ghi\n".utf8
        #expect(unsafe buffer.withUnsafeBytes { unsafe parser.next($0) } == .line(0..<9))
        #expect(unsafe buffer.withUnsafeBytes { unsafe parser.next($0) } == .line(0..<2))
    }
}
