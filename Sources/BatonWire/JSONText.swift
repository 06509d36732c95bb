// JSONText: JSON as batond writes it (STATUS, verdicts). Runs in batond.

/// Builds one JSON text (RFC 8259) from the outside in; commas come by themselves.
///
///     var json = JSONText()
///     json.object { json in
///         json.member("name", service.name)
///         json.member("pid", pid)                  // an Int?: null where there is none
///         json.array("images") { json in
///             for image in images { json.object { $0.member("digest", image.digest) } }
///         }
///     }
///     json.bytes
package struct JSONText {
    /// The text so far, in UTF-8.
    package private(set) var bytes: [UInt8] = []
    /// Whether a value stands before the place of the next one, in the same container.
    private var needsComma = false

    package init() {}

    /// The text so far.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    // MARK: Containers

    package mutating func object(_ members: (inout JSONText) -> Void) {
        container("{", "}", members)
    }

    package mutating func array(_ elements: (inout JSONText) -> Void) {
        container("[", "]", elements)
    }

    package mutating func object(_ key: String, _ members: (inout JSONText) -> Void) {
        self.key(key)
        object(members)
    }

    package mutating func array(_ key: String, _ elements: (inout JSONText) -> Void) {
        self.key(key)
        array(elements)
    }

    // MARK: Members of an object

    package mutating func member(_ key: String, _ value: String?) {
        self.key(key)
        self.value(value)
    }

    package mutating func member(_ key: String, _ value: (some BinaryInteger)?) {
        self.key(key)
        self.value(value)
    }

    package mutating func member(_ key: String, _ value: Bool?) {
        self.key(key)
        self.value(value)
    }

    package mutating func null(_ key: String) {
        self.key(key)
        null()
    }

    // MARK: Values, and elements of an array

    package mutating func value(_ value: String?) {
        guard let value else { return null() }
        comma()
        string(value)
    }

    /// Bytes that ought to be UTF-8; what is not becomes U+FFFD.
    package mutating func value(_ value: UnsafeRawBufferPointer) {
        self.value(unsafe String(decoding: value, as: UTF8.self))
    }

    package mutating func value(_ value: (some BinaryInteger)?) {
        guard let value else { return null() }
        comma()
        bytes.append(contentsOf: value.description.utf8)
    }

    package mutating func value(_ value: Bool?) {
        guard let value else { return null() }
        comma()
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    package mutating func null() {
        comma()
        bytes.append(contentsOf: "null".utf8)
    }

    // MARK: Text

    private mutating func container(
        _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ content: (inout JSONText) -> Void
    ) {
        comma()
        bytes.append(UInt8(ascii: open))
        needsComma = false
        content(&self)
        bytes.append(UInt8(ascii: close))
        needsComma = true
    }

    private mutating func key(_ key: String) {
        value(key)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    private mutating func comma() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func string(_ text: String) {
        bytes.append(Byte.quote)
        for byte in text.utf8 {
            switch byte {
            case Byte.quote, Byte.backslash: bytes += [Byte.backslash, byte]
            case Byte.newline: bytes += [Byte.backslash, UInt8(ascii: "n")]
            case Byte.return: bytes += [Byte.backslash, UInt8(ascii: "r")]
            case Byte.tab: bytes += [Byte.backslash, UInt8(ascii: "t")]
            case ..<0x20:
                bytes += "\\u00".utf8
                bytes += [Self.hexadecimal(byte >> 4), Self.hexadecimal(byte & 0xf)]
            default: bytes.append(byte)
            }
        }
        bytes.append(Byte.quote)
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
    }
}
