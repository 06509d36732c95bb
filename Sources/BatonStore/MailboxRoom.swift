// What of a mailbox's segments is kept free, so that what was accepted can be settled, and a life begun, on
// a full disk. Used in batond, by the loop's thread.
//
// As long as there is a spare nothing need be kept. Until then messages leave free what the settling of
// those that wait may take, each by itself, and everything leaves free what lives begin with. If no spare
// can be made, no message is taken that would leave less.

import BatonCore

extension Mailbox {
    /// What an answer to a message with an id is expected to take.
    private static let answerBytes = Record.size(payload: 256)

    /// What the settling of all that wait may take: each in a batch of its own, with the state.
    var settlingByteCount: Int {
        let waiting = Int(clamping: unsettledCount)
        let ids = min(waiting, standing.ids.count)
        return keptForLives + waiting * settleBytes + ids * Self.answerBytes
    }

    /// Messages leave so much free.
    var keptForSettling: Int {
        kept == 0 ? 0 : max(kept, min(settlingByteCount, activeByteCount / 4 * 3))
    }

    /// No spare can be made: another segment cannot either, so this one must do.
    /// - Parameter size: of a message's records.
    func expectRoom(for size: Int) throws(StoreError) {
        guard isSpareDenied, kept > 0 else { return }
        let needed =
            max(filled, Self.batchBytes) + size + settleBytes + max(kept, settlingByteCount)
        guard offset + needed > activeByteCount - Segment.footerBytes else { return }
        throw .noRoom(
            "another message in \(service)'s mailbox, beside what those that wait may need")
    }

    /// Everything but the beginning of a life leaves so much free: for some forty lives.
    var keptForLives: Int {
        kept == 0 || variant.without == .reserve ? 0 : min(activeByteCount / 64, 4096)
    }

    /// What the next segment has: room at least for its base record and as much again, so that no
    /// more is written for base records than for all else.
    func nextByteCount(toHold needed: Int) -> Int {
        let doubled = min(activeByteCount * 2, variant.lastSegmentBytes)
        let base = baseBatchBytes
        let least = Segment.headerBytes + base + max(base, variant.leastRoomBytes) + needed
        return (max(doubled, least) + 4095) & ~4095
    }

    var baseBatchBytes: Int {
        Self.batchBytes + Record.size(payload: standing.encodedByteCount)
    }

    /// What is kept of the active segment follows from the spare and from the state's size. A spare
    /// that does not hold the base record any more is none: another is made in its place.
    mutating func reckon() {
        let stateBytes = standing.inlineState?.bytes.count ?? 512
        let settling = Self.batchBytes + Record.size(payload: 4 + stateBytes)
        settleBytes =
            standing.state == nil ? Self.batchBytes + Record.size(payload: 0) : settling
        if case .ready(let byteCount) = spare {
            let least = Segment.headerBytes + baseBatchBytes + settling + Segment.footerBytes
            if byteCount >= least {
                kept = 0
                return
            }
            spare = .none
        }
        kept =
            variant.without == .reserve
            ? 0 : max(min(activeByteCount / 8, 1 << 20), 4 * settling)
    }

    /// Makes sure that what is settled next has room, going on in another segment if need be.
    /// - Parameter byteCount: of its records.
    /// - Throws: `noRoom`, and nothing has changed; `system`.
    package mutating func makeRoom(for byteCount: Int) throws(StoreError) {
        guard !hasRoom(for: byteCount) else { return }
        let needed = neededByteCount(for: byteCount)
        if case .ready(let ready) = spare, ready >= Segment.headerBytes + baseBatchBytes + needed {
            return
        }
        try flush()
        try roll(toHold: needed)
    }

    /// Whether so many bytes of records fit into the active segment.
    package func hasRoom(for byteCount: Int) -> Bool {
        offset + max(filled, Self.batchBytes) + neededByteCount(for: byteCount) <= activeByteCount
    }
    private func neededByteCount(for byteCount: Int) -> Int {
        byteCount + Self.batchBytes * (2 + byteCount >> 20) + Segment.footerBytes + keptForLives
    }

    /// No spare can be made now.
    package mutating func spareIsDenied() { isSpareDenied = true }
    /// Whether a spare is there, so that nothing need be made sure of.
    package var hasSpare: Bool {
        if case .ready = spare { true } else { false }
    }
}
