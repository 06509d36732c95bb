// The image store: images made durable and read again, which of them services use, which may go.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging

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
    /// Reads an image from the store; `nil` if it is not there, or damaged.
    func fetch(_ digest: ImageDigest, _ done: @escaping (Image?) -> Void) {
        intake.add("\(state.imagesPath)/\(digest).so") { result in
            guard case .success(let image) = result, image.digest == digest else {
                return done(nil)
            }
            done(image)
        }
    }

    /// Makes an image durable; `imageIsKept` follows.
    func keep(_ image: Image, for service: Service) {
        if keptImages.contains(image.fileName) {
            return service.imageIsKept(image.fileName, nil)
        }
        guard let images = state.images else {
            return service.imageIsKept(
                image.fileName, SystemError("keep an image", code: EROFS))
        }
        pruneImages()
        keepHouse(
            .keepImage(
                service.name, directory: images, name: image.fileName, image: image.memory,
                byteCount: image.byteCount))
    }

    private func pruneImages() {
        for name in needlessImages {
            keptImages.remove(name)
            guard let images = state.images else { return }
            do throws(SystemError) { try SegmentFile.remove(name, in: images) } catch {
                logger.warning("an old image stays: \(error)")
            }
        }
    }

    /// Files of the image store that nothing needs.
    var needlessImages: [String] {
        // A quarantined service's release is not known.
        guard outages.isEmpty else { return [] }
        var retention = ImageRetention()
        for removed in state.removals().values {
            guard let images = removed.images else { return [] }
            retention.add(used: Set(images), history: [])
        }
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
