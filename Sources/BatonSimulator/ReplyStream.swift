// Cuts what a socket says into answers: lines, or values of RESP2. Runs in the simulator.

struct ReplyStream {
    enum Answer: Equatable {
        case line([UInt8])
        case integer(Int)
        case error(String)
    }

    let isRESP: Bool
    private var bytes: [UInt8] = []
    private var start = 0

    init(isRESP: Bool) { self.isRESP = isRESP }

    mutating func append(_ more: some Sequence<UInt8>) {
        if start > 0 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes.append(contentsOf: more)
    }

    var isEmpty: Bool { start == bytes.count }

    /// The next whole answer.
    mutating func next() -> Answer? {
        guard let end = bytes[start...].firstIndex(of: 10) else { return nil }
        let line = bytes[start..<end]
        if !isRESP {
            start = end + 1
            return line.first == UInt8(ascii: "-")
                ? .error(String(decoding: line.dropFirst(), as: UTF8.self)) : .line(Array(line))
        }
        let text = line.dropFirst().dropLast()
        switch line.first {
        case UInt8(ascii: "$"):
            let count = ModelMessage.integer(text) ?? 0
            guard bytes.count >= end + 1 + count + 2 else { return nil }
            start = end + 1 + count + 2
            return .line(Array(bytes[end + 1..<end + 1 + count]))
        case UInt8(ascii: ":"):
            start = end + 1
            return .integer(ModelMessage.integer(text) ?? -1)
        case UInt8(ascii: "-"):
            start = end + 1
            return .error(String(decoding: text, as: UTF8.self))
        default:
            start = end + 1
            return .line(Array(text))
        }
    }

    static func command(_ words: [[UInt8]]) -> [UInt8] {
        var bytes = Array("*\(words.count)\r\n".utf8)
        for word in words {
            bytes += Array("$\(word.count)\r\n".utf8) + word + [13, 10]
        }
        return bytes
    }
}
