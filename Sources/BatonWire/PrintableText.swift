// PrintableText: a message's beginning, for people to look at. Runs in batond.

package enum PrintableText {
    /// The first `limit` bytes as text: what is no UTF-8 or cannot be printed is `.`, and a
    /// character that does not fit is left out.
    package static func prefix(of bytes: [UInt8], limit: Int) -> String {
        var rest = bytes.prefix(limit).makeIterator()
        var decoder = UTF8()
        var text = String.UnicodeScalarView()
        var isCut = false
        decoding: while true {
            switch decoder.decode(&rest) {
            case .scalarValue(let scalar):
                text.append(isPrintable(scalar) ? scalar : ".")
                isCut = false
            case .error:
                text.append(".")
                isCut = true
            case .emptyInput: break decoding
            }
        }
        // A character that the limit has cut in two is no mistake.
        if isCut, bytes.count > limit, bytes[limit] & 0xc0 == 0x80 { text.removeLast() }
        return String(text)
    }

    /// Nothing that moves a terminal's cursor or turns its direction round.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }
}
