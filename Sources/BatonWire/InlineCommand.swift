// InlineCommand: splits a line that a person typed into arguments, as Redis does. Runs in batond.

/// The quoting rules of an inline command. Blanks (space, tab) separate arguments. In "..." the
/// escapes \n \r \t \b \a \xHH stand for bytes and a backslash before any other byte for that byte;
/// in '...' only \' is one. A closing quote ends its argument. Outside of quotes a backslash is a
/// backslash.
enum InlineCommand {
    enum Result {
        case split
        case unbalancedQuotes
        case tooMany
    }

    /// Appends the arguments of `line` as ranges of it. Unescapes in place, which is possible
    /// because an argument is never longer than its quoted form: `write` never passes `read`.
    static func split(
        _ line: inout MutableSpan<UInt8>, into arguments: inout [Range<Int>], limit: Int
    ) -> Result {
        var read = 0
        while true {
            while read < line.count && isBlank(line[read]) { read += 1 }
            guard read < line.count else { return .split }
            guard arguments.count < limit else { return .tooMany }
            let start = read
            var write = read
            while read < line.count && !isBlank(line[read]) {
                let byte = line[read]
                if byte == Byte.quote || byte == Byte.apostrophe {
                    guard unquote(&line, &read, &write) else { return .unbalancedQuotes }
                } else {
                    line[write] = byte
                    read += 1
                    write += 1
                }
            }
            arguments.append(start..<write)
        }
    }

    /// Reads from the opening quote at `read` to behind the closing one. False if it is missing or
    /// if something other than a blank follows it.
    private static func unquote(
        _ line: inout MutableSpan<UInt8>, _ read: inout Int, _ write: inout Int
    ) -> Bool {
        let quote = line[read]
        read += 1
        while read < line.count {
            var byte = line[read]
            read += 1
            if byte == quote {
                return read == line.count || isBlank(line[read])
            }
            if byte == Byte.backslash, read < line.count {
                if quote == Byte.quote {
                    byte = unescape(line, &read)
                } else if line[read] == quote {
                    byte = quote
                    read += 1
                }
            }
            line[write] = byte
            write += 1
        }
        return false
    }

    /// The byte that the escape stands for whose backslash lies before `read`.
    private static func unescape(
        _ line: borrowing MutableSpan<UInt8>, _ read: inout Int
    ) -> UInt8 {
        let escape = line[read]
        if escape == UInt8(ascii: "x"), read + 2 < line.count,
            let high = hexadecimal(line[read + 1]),
            let low = hexadecimal(line[read + 2])
        {
            read += 3
            return high << 4 | low
        }
        read += 1
        return switch escape {
        case UInt8(ascii: "n"): Byte.newline
        case UInt8(ascii: "r"): Byte.return
        case UInt8(ascii: "t"): Byte.tab
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "a"): 0x07
        default: escape
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == Byte.space || byte == Byte.tab
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
