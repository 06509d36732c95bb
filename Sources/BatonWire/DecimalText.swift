// DecimalText: numbers as protocols write them. Runs in batond and baton.

/// Decimal numbers in ASCII, without String.
package enum DecimalText {
    /// The number that `bytes` spell: digits only, 18 at most, no sign, blank or leading zero.
    package static func parse(_ bytes: UnsafeRawBufferPointer) -> Int? {
        let count = bytes.count
        guard (1...18).contains(count), unsafe count == 1 || bytes[0] != Byte.zero else {
            return nil
        }
        var value = 0
        for index in 0..<count {
            let digit = unsafe bytes[index] &- Byte.zero
            guard digit <= 9 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value
    }

    /// Appends `value`, with a minus sign where it is negative.
    package static func append(_ value: Int64, to output: inout [UInt8]) {
        output.append(addingCapacity: longest) { append(value, to: &$0) }
    }

    /// The longest number, with its sign.
    static let longest = 20

    /// Appends `value` to a span that has room for `longest` bytes more.
    static func append(_ value: Int64, to output: inout OutputSpan<UInt8>) {
        if value < 0 { output.append(Byte.minus) }
        // From the last digit to the first: dividing by a constant is a multiplication.
        var digits = InlineArray<20, UInt8>(repeating: Byte.zero)
        var first = digits.count
        var rest = value.magnitude
        repeat {
            first -= 1
            digits[first] += UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        for index in first..<digits.count { output.append(digits[index]) }
    }
}
