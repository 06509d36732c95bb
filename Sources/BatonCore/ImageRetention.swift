// Which images stay in the image store. Pure: the supervisor knows who uses what, and removes files.
//
// An image in use is never among those that may go: what a host has loaded or is to load, what a
// service boots with, what a provisional release can fall back to. Of those that a service ran
// before, the last few stay too, so that it can be upgraded back to them by their digest.

package struct ImageRetention: Sendable {
    private var kept: Set<ImageDigest> = []

    package init() {}

    /// - Parameters:
    ///   - used: by one service.
    ///   - history: what it ran, the newest last.
    package mutating func add(used: Set<ImageDigest>, history: [ImageDigest]) {
        kept.formUnion(used)
        kept.formUnion(Self.cold(used: used, history: history))
    }

    /// Those of `history` that stay without being used, the newest first.
    package static func cold(used: Set<ImageDigest>, history: [ImageDigest]) -> [ImageDigest] {
        var cold: [ImageDigest] = []
        for digest in history.reversed() where !used.contains(digest) && !cold.contains(digest) {
            guard cold.count < FixedLimits.coldImages else { break }
            cold.append(digest)
        }
        return cold
    }

    package func mayGo(_ digest: ImageDigest) -> Bool { !kept.contains(digest) }
}
