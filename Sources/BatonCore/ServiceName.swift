// A service's name: what clients address, what its files and sockets are called.

/// `[a-z][a-z0-9-]{0,62}`.
package struct ServiceName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    /// `nil` where `text` is no service name.
    package init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        guard bytes.count <= 63, let first = bytes.first, Self.isLetter(first) else { return nil }
        guard bytes.allSatisfy({ Self.isLetter($0) || Self.isDigit($0) || $0 == UInt8(ascii: "-") })
        else { return nil }
        self.text = String(text)
    }

    /// The service that an image file of this name is for: `ping.so` and `libping.so` are `ping`.
    package init?(imageFile name: String) {
        guard name.hasSuffix(".so") else { return nil }
        let stem = name.dropLast(3)
        self.init(stem.hasPrefix("lib") ? stem.dropFirst(3) : stem)
    }

    package var description: String { text }
    package static func < (left: Self, right: Self) -> Bool { left.text < right.text }

    private static func isLetter(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
    }
    private static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }
}
