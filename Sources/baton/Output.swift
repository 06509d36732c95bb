// Output: answers on standard output, remarks on standard error. Runs in baton.

import Glibc

enum Output {
    /// Whether standard output is a terminal that wants colour (https://no-color.org).
    static let hasColour: Bool = {
        let variables = Environment.variables
        let wantsNone = variables["NO_COLOR"].map { !$0.isEmpty } ?? false
        return isatty(STDOUT_FILENO) == 1 && !wantsNone && variables["TERM"] != "dumb"
    }()

    /// One line of the answer.
    static func line(_ text: String) {
        line(Array(text.utf8))
    }

    /// The answer's bytes as they are, and a newline.
    /// - Returns: false if the reader has gone: it has seen what it wanted.
    @discardableResult
    static func line(_ bytes: [UInt8]) -> Bool {
        if write(bytes + [UInt8(ascii: "\n")], to: STDOUT_FILENO) { return true }
        if errno == EPIPE { return false }
        complain("cannot write to standard output: \(lastError)")
        exit(EXIT_FAILURE)
    }

    /// One line beside the answer, for people.
    static func remark(_ text: String) {
        _ = write(Array("\(text)\n".utf8), to: STDERR_FILENO)
    }

    /// What went wrong, and the next step.
    static func complain(_ text: String) {
        remark("baton: \(text)")
    }

    /// False if it cannot be written; errno tells why.
    private static func write(_ bytes: [UInt8], to descriptor: CInt) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.write(
                    descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
            }
            if count >= 0 {
                written += count
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    private static var lastError: String {
        unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
    }
}
