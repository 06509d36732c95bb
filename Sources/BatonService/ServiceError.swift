// The two errors that a service throws on purpose. Runs in baton-host.

/// Thrown by `handle`: the answer is an error. The caller sees one line, `-CODE text`.
///
/// Throw before anything is changed. What was changed stays changed: the message counts as handled.
public struct ServiceError: Error, CustomStringConvertible {
    /// One word in capitals, for programs: `UNKNOWN`.
    public var code: String
    /// What is wrong, and the next step.
    public var text: String

    public init(_ code: String, _ text: String) {
        self.code = code
        self.text = text
    }

    public var description: String { "\(code) \(text)" }
}

/// Thrown by `init`: this version cannot begin, or not with this state. The operator sees why.
public struct Refusal: Error, CustomStringConvertible {
    public var reason: String

    public init(_ reason: String) {
        self.reason = reason
    }

    public var description: String { reason }
}

extension ServiceError {
    /// The line that answers for any error a handler lets out.
    static func line(for error: any Error) -> String {
        let line = error is ServiceError ? "\(error)" : "FAILED \(error)"
        return String(line.map { $0.isNewline ? " " : $0 })
    }
}
