// RESPWriter: replies as bytes. Runs in batond; the client writes its requests with it as well.

/// Appends RESP values to an output buffer, in the version of the protocol that the connection
/// speaks. https://redis.io/docs/latest/develop/reference/protocol-spec/
package struct RESPWriter: Sendable {
    package enum Version: Int, Sendable {
        case two = 2
        case three = 3
    }

    /// RESP2 until a client says `HELLO 3`.
    package var version: Version

    package init(version: Version = .two) {
        self.version = version
    }

    /// `+text`. A line end within it becomes a space.
    package func simpleString(_ text: StaticString, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "+"))
        text.withUTF8Buffer { unsafe Self.line(UnsafeRawBufferPointer($0), to: &output) }
    }

    /// `-CODE text`. Line ends within it become spaces, so that a text from a plugin or a
    /// client cannot end the reply early.
    package func error(_ code: String, _ text: String, to output: inout [UInt8]) {
        error("\(code) \(text)", to: &output)
    }

    /// `-text`, where the text begins with its code already.
    package func error(_ text: String, to output: inout [UInt8]) {
        var text = text
        text.withUTF8 { unsafe error(UnsafeRawBufferPointer($0), to: &output) }
    }

    /// `-text`, as it came from a plugin.
    package func error(_ text: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(Byte.minus)
        unsafe Self.line(text, to: &output)
    }

    package func integer(_ value: some BinaryInteger, to output: inout [UInt8]) {
        Self.header(UInt8(ascii: ":"), Int64(clamping: value), to: &output)
    }

    /// `$n`, then the bytes as they are.
    package func bulk(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        Self.header(Byte.dollar, Int64(bytes.count), to: &output)
        unsafe output.append(contentsOf: bytes)
        Self.lineEnd(to: &output)
    }

    package func bulk(_ bytes: [UInt8], to output: inout [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe bulk($0, to: &output) }
    }

    package func bulk(_ text: String, to output: inout [UInt8]) {
        var text = text
        text.withUTF8 { unsafe bulk(UnsafeRawBufferPointer($0), to: &output) }
    }

    /// `_` in RESP3, `$-1` in RESP2.
    package func null(to output: inout [UInt8]) {
        switch version {
        case .two: Self.header(Byte.dollar, -1, to: &output)
        case .three:
            output.append(UInt8(ascii: "_"))
            Self.lineEnd(to: &output)
        }
    }

    /// The head of an array; `count` values must follow.
    package func array(_ count: Int, to output: inout [UInt8]) {
        Self.header(Byte.asterisk, Int64(count), to: &output)
    }

    /// The head of a push, which is no reply; `count` values must follow. In RESP2 it is an array.
    package func push(_ count: Int, to output: inout [UInt8]) {
        switch version {
        case .two: array(count, to: &output)
        case .three: Self.header(UInt8(ascii: ">"), Int64(count), to: &output)
        }
    }

    /// The head of a map; `pairs` keys, each with its value, must follow. In RESP2 it is an array
    /// of twice as many values.
    package func map(_ pairs: Int, to output: inout [UInt8]) {
        switch version {
        case .two: array(pairs * 2, to: &output)
        case .three: Self.header(UInt8(ascii: "%"), Int64(pairs), to: &output)
        }
    }

    private static func header(_ type: UInt8, _ value: Int64, to output: inout [UInt8]) {
        output.append(addingCapacity: DecimalText.longest + 3) { line in
            line.append(type)
            DecimalText.append(value, to: &line)
            line.append(Byte.return)
            line.append(Byte.newline)
        }
    }

    private static func line(_ text: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        let start = output.count
        unsafe output.append(contentsOf: text)
        for index in start..<output.count
        where output[index] == Byte.return || output[index] == Byte.newline {
            output[index] = Byte.space
        }
        lineEnd(to: &output)
    }

    private static func lineEnd(to output: inout [UInt8]) {
        output.append(Byte.return)
        output.append(Byte.newline)
    }
}
