// The messages of a simulation and their replies: what they are, and how they look as bytes.
// Runs in the simulator.
//
// The model service keeps the numbers of the messages it has handled, in order. The reply to a
// message says at which place its number stands; so replies and state check each other.

import BatonCore

/// Who sent it (one connection is one sender), and which of the sender's messages it is.
struct MessageID: Hashable, Comparable, CustomStringConvertible {
    let number: UInt32

    init(number: UInt32) { self.number = number }
    init(sender: Int, count: Int) { number = UInt32(sender) << 12 | UInt32(count) }

    var sender: Int { Int(number >> 12) }
    var description: String { "\(sender).\(number & 0xfff)" }
    static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

struct ModelMessage {
    /// What a message asks for, beyond being kept.
    enum Trait: Equatable {
        case plain
        /// Handled for so long.
        case slow(milliseconds: Int)
        /// Answered with an error; the state stays as it is.
        case failing
        /// Its reply does not fit into the ring.
        case largeReply
        /// Ends every host that handles it.
        case poison
        /// Ends the hosts of one version.
        case poisonFor(version: String)
    }

    var id: MessageID
    var trait = Trait.plain
    /// Bytes that are only there.
    var padding = 0

    /// Whether its number belongs into the state, once it is handled.
    var isKept: Bool { trait != .failing }

    var bytes: [UInt8] {
        var text = "\(id.number) "
        switch trait {
        case .plain: text += "p"
        case .slow(let milliseconds): text += "s\(milliseconds)"
        case .failing: text += "f"
        case .largeReply: text += "l"
        case .poison: text += "x"
        case .poisonFor(let version): text += "v\(version)"
        }
        return Array(text.utf8) + [UInt8](repeating: 46, count: padding)
    }

    init(id: MessageID, trait: Trait = .plain, padding: Int = 0) {
        self.id = id
        self.trait = trait
        self.padding = padding
    }

    init?(_ bytes: some Collection<UInt8>) {
        let text = bytes.prefix { $0 != 46 }
        let words = text.split(separator: 32, maxSplits: 1)
        guard words.count == 2, let number = Self.integer(words[0]) else { return nil }
        id = MessageID(number: UInt32(truncatingIfNeeded: number))
        padding = bytes.count - text.count
        switch words[1].first {
        case UInt8(ascii: "p"): trait = .plain
        case UInt8(ascii: "s"): trait = .slow(milliseconds: Self.integer(words[1].dropFirst()) ?? 0)
        case UInt8(ascii: "f"): trait = .failing
        case UInt8(ascii: "l"): trait = .largeReply
        case UInt8(ascii: "x"): trait = .poison
        case UInt8(ascii: "v"):
            trait = .poisonFor(version: String(decoding: words[1].dropFirst(), as: UTF8.self))
        default: return nil
        }
    }

    static func integer(_ digits: some Collection<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.count < 18 else { return nil }
        var value = 0
        for digit in digits {
            guard digit >= 48, digit < 58 else { return nil }
            value = value * 10 + Int(digit - 48)
        }
        return value
    }
}

/// What a host says to a message.
struct ModelReply {
    var id: MessageID
    /// Where its number stands in the state.
    var place: Int
    var version: String

    func bytes(isLarge: Bool) -> [UInt8] {
        let text = Array("\(id.number) \(place) \(version)".utf8)
        return isLarge ? text + [UInt8](repeating: 46, count: 40 << 10) : text
    }

    init(id: MessageID, place: Int, version: String) {
        self.id = id
        self.place = place
        self.version = version
    }

    init?(_ bytes: some Collection<UInt8>) {
        let words = bytes.prefix { $0 != 46 }.split(separator: 32)
        guard words.count == 3, let number = ModelMessage.integer(words[0]),
            let place = ModelMessage.integer(words[1])
        else { return nil }
        id = MessageID(number: UInt32(truncatingIfNeeded: number))
        self.place = place
        version = String(decoding: words[2], as: UTF8.self)
    }
}
