// Byte: the bytes that the protocols give a meaning to, by name. Runs in batond and baton.

enum Byte {
    static let tab = UInt8(ascii: "\t")
    static let newline = UInt8(ascii: "\n")
    static let `return` = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let quote = UInt8(ascii: "\"")
    static let apostrophe = UInt8(ascii: "'")
    static let asterisk = UInt8(ascii: "*")
    static let dollar = UInt8(ascii: "$")
    static let minus = UInt8(ascii: "-")
    static let zero = UInt8(ascii: "0")
    static let one = UInt8(ascii: "1")
    static let backslash = UInt8(ascii: "\\")

    /// `byte` as an error message shows it: a printable one in quotes, any other as `0x..`.
    static func name(_ byte: UInt8) -> String {
        if (0x20..<0x7f).contains(byte) { return "'\(Character(Unicode.Scalar(byte)))'" }
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0x0\(digits)" : "0x\(digits)"
    }
}
