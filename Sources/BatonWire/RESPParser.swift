// RESPParser: requests as bytes become requests as ranges. Runs in batond, once per connection.
//
// The connection owns one contiguous input buffer; the parser only looks at it. What must hold:
// - `position` never lies beyond the input of the call that set it, and nothing before it is read
//   again, so a request that comes in many pieces costs no more than one that comes whole.
// - Nothing is allocated because a peer announced a size.
// - `needMore` is never answered to an input of `limits.command` bytes: a buffer of that size is
//   always enough.

/// Parses RESP2 requests (arrays of bulk strings) and inline commands, one at a time.
///
///     while true {
///         switch parser.next(unconsumed) {
///         case .command(let consumed):
///             // parser.arguments are ranges of `unconsumed`; then drop `consumed` bytes
///         case .needMore: // read, and call again with the same start and more bytes
///         case .protocolError(let text), .tooBig(let text): // answer the error and close
///         }
///     }
package struct RESPParser: ~Copyable {
    /// The most that one request may take, in bytes unless said otherwise.
    package struct Limits: Sendable {
        /// One argument of an array.
        package let bulk: Int
        /// Arguments of one command, the command's name included.
        package let arguments: Int
        /// An inline command without its line end.
        package let inline: Int
        /// A whole request as it is on the wire.
        package let command: Int

        /// `command` is raised where it could not hold one largest argument or one largest line;
        /// left out, it leaves 64 KiB beside the largest argument.
        package init(
            bulk: Int = 1 << 20, arguments: Int = 1024, inline: Int = 64 << 10, command: Int = 0
        ) {
            self.bulk = bulk
            self.arguments = arguments
            self.inline = inline
            let least = max(bulk + 256, inline + 2)
            self.command = command > 0 ? max(command, least) : max(bulk + 64 << 10, least)
        }
    }

    package enum Step: Equatable, Sendable {
        /// A request took `consumed` bytes; `arguments` holds it. An empty line, `*0` and `*-1`
        /// have no arguments and deserve no answer.
        case command(consumed: Int)
        /// The request is not complete yet.
        case needMore
        /// Not RESP. The connection cannot be understood any further: answer, then close.
        case protocolError(String)
        /// Over a limit. What follows cannot be skipped: answer, then close.
        case tooBig(String)
    }

    /// How far the current request is understood; all before `position` is done with.
    private enum Progress {
        case start
        case arrayHeader
        case bulkHeader(remaining: Int)
        case bulk(length: Int, remaining: Int)
        case inline
    }

    package let limits: Limits
    /// The arguments of the last `.command`, the command's name first, as ranges of its input.
    /// Valid until the next call. (A copy that is kept costs the parser a new array.)
    package private(set) var arguments: [Range<Int>] = []
    private var progress = Progress.start
    private var position = 0

    package init(limits: Limits = Limits()) {
        self.limits = limits
        arguments.reserveCapacity(8)
    }

    /// Parses one request. `input` begins at the first byte of the current request. It is mutable
    /// for one reason: an inline command with quotes is unescaped in place, in bytes that
    /// `consumed` covers, so that arguments are ranges of the input in every case.
    package mutating func next(_ input: UnsafeMutableRawBufferPointer) -> Step {
        if case .start = progress {
            guard let first = unsafe input.first else { return .needMore }
            arguments.removeAll(keepingCapacity: true)
            position = first == Byte.asterisk ? 1 : 0
            progress = first == Byte.asterisk ? .arrayHeader : .inline
        }
        let step =
            if case .inline = progress {
                unsafe inlineCommand(input)
            } else {
                unsafe array(input)
            }
        switch step {
        case .command:
            progress = .start
        case .needMore where input.count >= limits.command:
            return .tooBig(
                "a request is over the limit of \(limits.command) bytes: send it in smaller ones")
        case .needMore, .protocolError, .tooBig:
            break
        }
        return step
    }

    // MARK: Arrays of bulk strings

    private mutating func array(_ input: UnsafeMutableRawBufferPointer) -> Step {
        while true {
            switch progress {
            case .start, .inline:
                preconditionFailure("RESPParser: not in an array")

            case .arrayHeader:
                switch unsafe Self.header(input, from: position) {
                case .needMore: return .needMore
                case .malformed: return Self.malformed(header: "*")
                case .number(-1, let end), .number(0, let end):
                    return .command(consumed: end)
                case .number(let count, _) where count > limits.arguments:
                    return .tooBig(
                        "\(count) arguments are over the limit of \(limits.arguments): send fewer")
                case .number(let count, let end):
                    position = end
                    progress = .bulkHeader(remaining: count)
                }

            case .bulkHeader(let remaining):
                guard position < input.count else { return .needMore }
                let type = unsafe input[position]
                guard type == Byte.dollar else {
                    return .protocolError(
                        "expected '$', got \(Byte.name(type)): "
                            + "send RESP arrays of bulk strings or an inline command")
                }
                switch unsafe Self.header(input, from: position + 1) {
                case .needMore: return .needMore
                case .malformed, .number(-1, _): return Self.malformed(header: "$")
                case .number(let length, _) where length > limits.bulk:
                    return .tooBig(
                        "an argument of \(length) bytes is over the limit of \(limits.bulk): "
                            + "send a smaller message")
                case .number(let length, let end):
                    guard end + length + 2 <= limits.command else {
                        return .tooBig(
                            "a request is over the limit of \(limits.command) bytes: "
                                + "send it in smaller ones")
                    }
                    position = end
                    progress = .bulk(length: length, remaining: remaining)
                }

            case .bulk(let length, let remaining):
                let end = position + length
                guard end + 2 <= input.count else { return .needMore }
                guard unsafe input[end] == Byte.return, unsafe input[end + 1] == Byte.newline else {
                    return .protocolError(
                        "expected CRLF after \(length) bytes: "
                            + "the length after '$' must be that of the argument in bytes")
                }
                arguments.append(position..<end)
                position = end + 2
                if remaining == 1 { return .command(consumed: position) }
                progress = .bulkHeader(remaining: remaining - 1)
            }
        }
    }

    private enum Header {
        case number(Int, end: Int)
        case needMore
        case malformed
    }

    /// The number from `start` on and where its CRLF ends. Strict as Redis is: decimal digits, no
    /// sign, blank or leading zero; `-1` alone is negative. An incomplete one is read again by the
    /// next call: it is 20 bytes at most.
    private static func header(
        _ input: UnsafeMutableRawBufferPointer, from start: Int
    ) -> Header {
        let count = input.count
        var index = start
        var value = 0
        while index < count {
            let digit = unsafe input[index] &- Byte.zero
            guard digit <= 9 else { break }
            // 18 digits fit an Int; with a leading zero only "0" itself is a number.
            guard index - start < 18, index == start || value > 0 else { return .malformed }
            value = value * 10 + Int(digit)
            index += 1
        }
        guard index < count else { return .needMore }
        if index == start {
            guard unsafe input[index] == Byte.minus else { return .malformed }
            guard index + 1 < count else { return .needMore }
            guard unsafe input[index + 1] == Byte.one else { return .malformed }
            value = -1
            index += 2
            guard index < count else { return .needMore }
        }
        guard unsafe input[index] == Byte.return else { return .malformed }
        guard index + 1 < count else { return .needMore }
        guard unsafe input[index + 1] == Byte.newline else { return .malformed }
        return .number(value, end: index + 2)
    }

    private static func malformed(header: String) -> Step {
        .protocolError(
            "expected a length in decimal digits and CRLF after '\(header)': "
                + "send RESP arrays of bulk strings or an inline command")
    }

    // MARK: Inline commands

    /// One line; `position` is how far it was searched for its end.
    private mutating func inlineCommand(_ input: UnsafeMutableRawBufferPointer) -> Step {
        let searchEnd = min(input.count, limits.inline + 2)
        let unsearched = unsafe UnsafeRawBufferPointer(rebasing: input[position..<searchEnd])
        guard let newline = unsafe unsearched.firstOffset(of: Byte.newline) else {
            position = searchEnd
            return searchEnd < limits.inline + 2 ? .needMore : inlineTooBig
        }
        let end = position + newline
        let hasReturn = unsafe end > 0 && input[end - 1] == Byte.return
        let lineEnd = hasReturn ? end - 1 : end
        guard lineEnd <= limits.inline else { return inlineTooBig }
        let bytes = unsafe input.assumingMemoryBound(to: UInt8.self).extracting(..<lineEnd)
        var line = unsafe bytes.mutableSpan
        switch InlineCommand.split(&line, into: &arguments, limit: limits.arguments) {
        case .split:
            return .command(consumed: end + 1)
        case .unbalancedQuotes:
            return .protocolError(
                "unbalanced quotes: close each quote, and put a blank or the line's end after it")
        case .tooMany:
            return .tooBig("more arguments than the limit of \(limits.arguments): send fewer")
        }
    }

    private var inlineTooBig: Step {
        .tooBig(
            "an inline command is over the limit of \(limits.inline) bytes: "
                + "send a RESP array of bulk strings")
    }
}
