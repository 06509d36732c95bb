// A message as the handler sees it. Runs in baton-host.

/// The bytes of one message, where they lie in the mailbox: nothing was copied. The compiler sees
/// to it that they do not leave the handler; to keep them, take `string` or `array`.
public typealias Message = RawSpan

extension RawSpan {
    /// A copy as text, nil if the bytes are not UTF-8.
    public var string: String? {
        guard let text = try? UTF8Span(validating: Span<UInt8>(_bytes: self)) else { return nil }
        return String(copying: text)
    }

    /// A copy as bytes.
    public var array: [UInt8] {
        unsafe withUnsafeBytes { unsafe Array($0) }
    }

    public static func == (message: RawSpan, text: StaticString) -> Bool {
        // Only a literal of one character may come without a pointer to its text.
        guard text.hasPointerRepresentation, message.byteCount == text.utf8CodeUnitCount else {
            return false
        }
        return unsafe message.withUnsafeBytes { bytes in
            for index in 0..<bytes.count {
                guard unsafe bytes[index] == text.utf8Start[index] else { return false }
            }
            return true
        }
    }

    public static func != (message: RawSpan, text: StaticString) -> Bool {
        !(message == text)
    }

    /// So that `switch message { case "ping": … }` works.
    public static func ~= (text: StaticString, message: RawSpan) -> Bool {
        message == text
    }
}
