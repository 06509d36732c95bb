// Lines that come in pieces are those that come at once. Runs in the fuzzer.

import BatonWire

enum FuzzLines {
    private static let maximumLine = 24

    /// The first byte says how large the pieces are.
    static func run(_ bytes: UnsafeRawBufferPointer) {
        guard let piece = unsafe bytes.first else { return }
        let input = unsafe UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        let whole = unsafe lines(input, inPiecesOf: max(1, input.count))
        let inPieces = unsafe lines(input, inPiecesOf: Int(piece % 16) + 1)
        precondition(whole == inPieces, "lines depend on how they come")
        var start = 0
        for line in whole.found {
            precondition(line.lowerBound == start && line.count <= maximumLine, "a line is wrong")
            precondition(unsafe input[line.upperBound] == 10, "a line does not end")
            precondition(unsafe !input[line].contains(10), "a line has a newline in it")
            start = line.upperBound + 1
        }
        let rest = unsafe input[start...]
        let end = unsafe rest.firstIndex(of: 10) ?? rest.endIndex
        precondition(whole.isTooBig == (end - start > maximumLine), "a line's size is wrong")
    }

    private struct Lines: Equatable {
        var found: [Range<Int>] = []
        var isTooBig = false
    }

    private static func lines(_ input: UnsafeRawBufferPointer, inPiecesOf piece: Int) -> Lines {
        var parser = LineParser(maximumLine: maximumLine)
        var lines = Lines()
        var (start, seen) = (0, 0)
        while true {
            let part = unsafe UnsafeRawBufferPointer(rebasing: input[..<seen])
            switch unsafe parser.next(part, from: start) {
            case .line(let range):
                lines.found.append(range)
                start = range.upperBound + 1
            case .tooBig:
                lines.isTooBig = true
                return lines
            case .needMore:
                if seen == input.count { return lines }
                seen = min(input.count, seen + piece)
            }
        }
    }
}
