// The state of the model service: which messages it has handled, in order. Each format writes the
// numbers in another way, so that a state which is taken for another format is seen.
// Runs in the simulator.

struct ModelState: Equatable {
    var messages: [MessageID] = []

    func bytes(format: UInt32, ballast: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(12 + messages.count * 4 + ballast)
        Self.put(format, into: &bytes)
        Self.put(UInt32(messages.count), into: &bytes)
        for message in messages { Self.put(message.number ^ Self.mask(format), into: &bytes) }
        bytes += [UInt8](repeating: 7, count: ballast)
        return bytes
    }

    init() {}

    /// - Returns: `nil` for what no version has written.
    init?(_ bytes: [UInt8], format: inout UInt32) {
        guard let first = Self.word(bytes, at: 0), let count = Self.word(bytes, at: 4),
            first >= 1, first <= 9, bytes.count >= 8 + Int(count) * 4
        else { return nil }
        format = first
        for index in 0..<Int(count) {
            guard let word = Self.word(bytes, at: 8 + index * 4) else { return nil }
            messages.append(MessageID(number: word ^ Self.mask(first)))
        }
    }

    private static func mask(_ format: UInt32) -> UInt32 { (format &- 1) &* 0x1351_9a2d }

    private static func put(_ word: UInt32, into bytes: inout [UInt8]) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: word >> shift))
        }
    }

    private static func word(_ bytes: [UInt8], at offset: Int) -> UInt32? {
        guard offset + 4 <= bytes.count else { return nil }
        return bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
