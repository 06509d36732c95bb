// A system call that failed. Used in every process.

import Glibc

package struct SystemError: Error, Equatable, CustomStringConvertible {
    /// What was tried, with its object: `open /run/baton/lock`.
    package var operation: String
    package var code: Int32

    package init(_ operation: String, code: Int32) {
        self.operation = operation
        self.code = code
    }

    /// The call that has just failed.
    package static func last(_ operation: String) -> SystemError {
        SystemError(operation, code: errno)
    }

    package var description: String { "\(operation): \(Self.text(of: code))" }

    package static func text(of code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}

/// Calls `call` again while a signal interrupts it.
package func retryInterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
