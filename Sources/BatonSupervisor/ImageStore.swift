// Which images services use, as the image store and `baton versions` need to know. Runs in batond.

import BatonCore
import BatonStore

extension Service {
    /// Images that its hosts have loaded or are to load, that it boots with or may fall back to.
    var imagesInUse: Set<ImageDigest> {
        var digests: [ImageDigest?] = [
            mailbox.standing.release?.digest, mailbox.standing.fallback?.release.digest,
            currentImage?.digest, versionBefore?.image.digest, attempt?.image.digest,
        ]
        digests += [current, candidate, old].map { $0?.image.digest }
        digests += queue.map { $0.image?.digest }
        return Set(digests.compactMap { $0 })
    }

    /// An image that it has, and what for.
    struct OwnImage {
        enum Role: String { case candidate, current, old, confirmed, cold }
        var role: Role
        var version: String?
        var digest: ImageDigest
        /// When and why it last became the current one.
        var past: MailboxMachine.Past?
    }

    /// The confirmed one only where it is another than the current one; cold ones, the newest
    /// first, as far as the image store has them.
    var ownImages: [OwnImage] {
        let standing = mailbox.standing
        var images: [OwnImage] = []
        func add(_ role: OwnImage.Role, _ version: String?, _ digest: ImageDigest) {
            let past = standing.history.last { $0.release.digest == digest }
            images.append(
                OwnImage(
                    role: role, version: version ?? past?.release.version, digest: digest,
                    past: past))
        }
        if let candidate { add(.candidate, candidate.version, candidate.image.digest) }
        if let release = standing.release { add(.current, release.version, release.digest) }
        if let old { add(.old, old.version, old.image.digest) }
        if let fallback = standing.fallback?.release {
            add(.confirmed, fallback.version, fallback.digest)
        }
        let history = standing.history.map(\.release.digest)
        for digest in ImageRetention.cold(used: imagesInUse, history: history)
        where supervisor.keptImages.contains("\(digest).so") {
            add(.cold, nil, digest)
        }
        return images
    }
}

extension Supervisor {
    /// Files of the image store that nothing needs.
    var needlessImages: [String] {
        // A quarantined service's release is not known.
        guard quarantined.isEmpty else { return [] }
        var retention = ImageRetention()
        for service in services.values {
            retention.add(
                used: service.imagesInUse,
                history: service.mailbox.standing.history.map(\.release.digest))
        }
        return keptImages.sorted().filter { name in
            guard name.hasSuffix(".so"), let digest = ImageDigest(hex: name.dropLast(3)) else {
                return false
            }
            return retention.mayGo(digest)
        }
    }
}
