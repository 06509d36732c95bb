// The least that a connection does with a parser: it gathers pieces, parses, drops what is done.

import BatonWire

/// What a stream of bytes came to.
struct Conversation: Equatable {
    var commands: [[[UInt8]]] = []
    /// The protocol error or excess that ended it.
    var end: RESPParser.Step?

    /// The commands as text, for tests whose bytes are text.
    var texts: [[String]] {
        commands.map { $0.map { String(decoding: $0, as: UTF8.self) } }
    }
}

/// Feeds `pieces` one after the other to a parser, as a connection would.
func converse(
    _ pieces: [ArraySlice<UInt8>], limits: RESPParser.Limits = RESPParser.Limits()
) -> Conversation {
    var parser = RESPParser(limits: limits)
    var conversation = Conversation()
    var buffer: [UInt8] = []
    for piece in pieces {
        buffer += piece
        var start = 0
        feeding: while true {
            let step = unsafe buffer.withUnsafeMutableBytes { bytes in
                unsafe parser.next(UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
            }
            switch step {
            case .command(let consumed):
                conversation.commands.append(
                    parser.arguments.map { Array(buffer[start..<buffer.count][shifted: $0]) })
                start += consumed
            case .needMore:
                break feeding
            case .protocolError, .tooBig:
                conversation.end = step
                return conversation
            }
        }
        buffer.removeFirst(start)
    }
    return conversation
}

func converse(
    _ text: String, limits: RESPParser.Limits = RESPParser.Limits()
) -> Conversation {
    converse([Array(text.utf8)[...]], limits: limits)
}

extension ArraySlice {
    /// Elements by offsets from the slice's start.
    fileprivate subscript(shifted range: Range<Int>) -> ArraySlice {
        self[startIndex + range.lowerBound..<startIndex + range.upperBound]
    }
}

/// A small deterministic generator (SplitMix64), so that a failure can be repeated by its seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
