// Requests that come in pieces are those that come at once, and their arguments lie in what came.
// Runs in the fuzzer.

import BatonWire

enum FuzzRESP {
    private static let limits = RESPParser.Limits(bulk: 100, arguments: 5, inline: 60, command: 400)

    /// The first byte says how large the pieces are.
    static func run(_ bytes: UnsafeRawBufferPointer) {
        guard let piece = unsafe bytes.first else { return }
        let input = unsafe Array(bytes.dropFirst())
        let whole = requests(input, inPiecesOf: max(1, input.count))
        let inPieces = requests(input, inPiecesOf: Int(piece % 16) + 1)
        precondition(whole == inPieces, "requests depend on how they come")
    }

    private struct Requests: Equatable {
        var arguments: [[[UInt8]]] = []
        var end: RESPParser.Step?
    }

    private static func requests(_ bytes: [UInt8], inPiecesOf piece: Int) -> Requests {
        var input = bytes
        var parser = RESPParser(limits: limits)
        var requests = Requests()
        var (start, seen) = (0, 0)
        while true {
            let (begin, end) = (start, seen)
            var arguments: [[UInt8]] = []
            let step = unsafe input.withUnsafeMutableBytes { buffer in
                let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[begin..<end])
                let step = unsafe parser.next(part)
                if case .command(let consumed) = step {
                    precondition(consumed > 0 && consumed <= part.count, "consumed \(consumed)")
                    for range in parser.arguments {
                        precondition(range.upperBound <= consumed, "an argument lies beyond")
                        unsafe arguments.append(Array(part[range]))
                    }
                }
                return step
            }
            switch step {
            case .command(let consumed):
                requests.arguments.append(arguments)
                start += consumed
            case .needMore:
                precondition(seen - start < limits.command, "a full buffer is not enough")
                if seen == input.count { return requests }
                seen = min(input.count, seen + piece)
            case .protocolError, .tooBig:
                requests.end = step
                return requests
            }
        }
    }
}
