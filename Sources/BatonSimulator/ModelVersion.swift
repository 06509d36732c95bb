// The versions of the model service: their images, and what is wrong with some of them.
// Runs in the simulator.

import BatonCore

struct ModelVersion: Equatable {
    /// What its author did not see.
    enum Flaw: String, CaseIterable {
        case none
        case crashesInLoad, hangsInLoad, refusesInLoad
        case crashesInStart, hangsInStart, refusesInStart
        /// It takes the state, but mostly after its time.
        case startsLate
        case crashesAtFirstMessage, crashesAtTenthMessage
        /// It never answers a suspension.
        case neverSuspends
        /// It says what no host may say.
        case forges
        /// It answers other than those before.
        case repliesOtherwise

        /// Whether a host of it can ever be in charge.
        var runs: Bool {
            switch self {
            case .none, .crashesAtFirstMessage, .crashesAtTenthMessage, .neverSuspends, .forges,
                .repliesOtherwise,
                .startsLate:
                true
            case .crashesInLoad, .hangsInLoad, .refusesInLoad, .crashesInStart, .hangsInStart,
                .refusesInStart:
                false
            }
        }
    }

    var name: String
    /// The format of the state it writes, from 1 on.
    var format: UInt32
    /// The formats it can take.
    var takes: ClosedRange<UInt32>
    /// Whether it declares its formats beforehand.
    var declares = true
    var flaw = Flaw.none
    /// Bytes of its state that are only there.
    var ballast = 0
    /// Its replies do not say which version they are of.
    var isTerse = false

    /// A shared object as far as batond looks into it; the rest is for the simulated host.
    var image: [UInt8] {
        let text =
            Array(
                "\n\(name) \(format) \(takes.lowerBound) \(takes.upperBound) \(declares ? 1 : 0) "
                    .utf8) + Array("\(flaw.rawValue) \(ballast) \(isTerse ? 1 : 0)\n".utf8)
        var bytes = [UInt8](repeating: 0, count: 120)
        bytes.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
        bytes[16] = 3  // a shared object
        bytes[32] = 64  // where its one program header lies
        bytes[54] = 56
        bytes[56] = 1
        bytes[64] = 1  // which is loaded
        let total = bytes.count + text.count
        bytes[96] = UInt8(total & 0xff)
        bytes[97] = UInt8(total >> 8)
        return bytes + text
    }

    init(
        _ name: String, format: UInt32 = 1, takes: ClosedRange<UInt32>? = nil,
        declares: Bool = true, flaw: Flaw = .none, ballast: Int = 0
    ) {
        self.name = name
        self.format = format
        self.takes = takes ?? 1...format
        self.declares = declares
        self.flaw = flaw
        self.ballast = ballast
    }

    init?(image: [UInt8]) {
        let words = image.dropFirst(120).split(separator: 10).first?.split(separator: 32) ?? []
        guard words.count == 8, let format = ModelMessage.integer(words[1]),
            let low = ModelMessage.integer(words[2]), let high = ModelMessage.integer(words[3]),
            let flaw = Flaw(rawValue: String(decoding: words[5], as: UTF8.self)),
            let ballast = ModelMessage.integer(words[6])
        else { return nil }
        self.init(
            String(decoding: words[0], as: UTF8.self), format: UInt32(format),
            takes: UInt32(low)...UInt32(high), declares: words[4] == [49], flaw: flaw,
            ballast: ballast)
        isTerse = words[7] == [49]
    }

    /// What its replies say that they are of.
    var label: String { isTerse ? "-" : name }
}
