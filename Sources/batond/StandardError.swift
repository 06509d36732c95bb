// Standard error, for people at a terminal. Runs in `batond check` and `batond repair`; the daemon logs.

import Glibc

enum StandardError {
    static func line(_ text: String) { put(text + "\n") }

    /// Nothing is done about what cannot be written: there is nobody to tell.
    static func put(_ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    }
}
