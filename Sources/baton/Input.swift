// Input: a message from standard input. Runs in baton.

import BatonClient
import Glibc

enum Input {
    /// More than any message may be; the daemon knows its own limit.
    private static let limit = 64 << 20

    /// The message named on the command line, or all of standard input without its last newline,
    /// which belongs to the file or the terminal and not to the message. Nil, after a complaint,
    /// if there is none to be had.
    static func message(_ named: String?) -> [UInt8]? {
        if let named { return Array(named.utf8) }
        var bytes: [UInt8] = []
        while true {
            var count = 0
            bytes.append(addingCapacity: 64 << 10) { room in
                unsafe room.withUnsafeMutableBufferPointer { bytes, initialized in
                    count = unsafe read(
                        STDIN_FILENO, bytes.baseAddress?.advanced(by: initialized),
                        bytes.count - initialized)
                    initialized += max(0, count)
                }
            }
            if count == 0 { break }
            if count < 0 && errno != EINTR {
                Output.complain("cannot read standard input: name the message as an argument")
                return nil
            }
            if bytes.count > limit {
                Output.complain("standard input is over \(limit >> 20) MiB: no message is so long")
                return nil
            }
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        return bytes
    }
}
