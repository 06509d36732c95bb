// LineParser: finds the lines of a line socket. Runs in batond, once per connection.

import Glibc

/// Finds one line at a time in the connection's input buffer. A line is any bytes but newline: a
/// `\r` before the newline belongs to the message.
///
/// It remembers how far it searched, so a long line that comes in many pieces is searched once.
package struct LineParser: ~Copyable {
    package enum Step: Equatable, Sendable {
        /// A line, without its newline; the next one starts at `upperBound + 1`.
        case line(Range<Int>)
        /// No newline yet.
        case needMore
        /// The line is longer than the limit, whether its end has been seen or not.
        case tooBig
    }

    /// The longest line without its newline, in bytes. A buffer one byte larger is always enough.
    package let maximumLine: Int
    /// Bytes from `start` on that hold no newline.
    private var searched = 0

    package init(maximumLine: Int = 1 << 20) {
        self.maximumLine = maximumLine
    }

    /// The line that begins at `start`, an offset of `input`. After `needMore` the next call must
    /// name the same line, with more bytes; the line itself may have moved within the buffer.
    package mutating func next(_ input: UnsafeRawBufferPointer, from start: Int = 0) -> Step {
        let searchEnd = min(input.count, start + maximumLine + 1)
        let begin = start + searched
        guard begin < searchEnd else { return searched > maximumLine ? .tooBig : .needMore }
        let unsearched = unsafe UnsafeRawBufferPointer(rebasing: input[begin..<searchEnd])
        guard let newline = unsafe unsearched.firstOffset(of: Byte.newline) else {
            searched = searchEnd - start
            return searched > maximumLine ? .tooBig : .needMore
        }
        searched = 0
        return .line(start..<begin + newline)
    }
}

extension UnsafeRawBufferPointer {
    /// Where `byte` first occurs, by memchr: about 30 bytes a nanosecond.
    func firstOffset(of byte: UInt8) -> Int? {
        guard let base = baseAddress,
            let found = unsafe memchr(base, CInt(byte), count)
        else { return nil }
        return unsafe UnsafeRawPointer(found) - base
    }
}
