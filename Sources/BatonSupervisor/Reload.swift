// Images taken in: at the start, by SIGHUP, by `RELOAD` and `UPGRADE`; and the store of those in use.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonSystemd
import CLinux
import Glibc
import Logging

/// Files being copied and hashed, one after the other, a part a turn.
struct IntakeQueue {
    final class Task {
        let path: String
        let done: (Result<Image, ImageRefusal>) -> Void
        fileprivate var intake: ImageIntake?

        fileprivate init(
            _ path: String, _ done: @escaping (Result<Image, ImageRefusal>) -> Void
        ) {
            self.path = path
            self.done = done
        }

        /// - Returns: the outcome, when there is one.
        fileprivate func step() -> Result<Image, ImageRefusal>? {
            do throws(ImageRefusal) {
                if intake == nil { intake = try ImageIntake(path: path) }
                return try intake?.step().map { .success($0) }
            } catch { return .failure(error) }
        }
    }

    private var tasks: [Task] = []
    var isEmpty: Bool { tasks.isEmpty }

    mutating func add(
        _ path: String, _ done: @escaping (Result<Image, ImageRefusal>) -> Void
    ) { tasks.append(Task(path, done)) }

    /// The task at work, if it came to its end with this step.
    mutating func step() -> (Task, Result<Image, ImageRefusal>)? {
        guard let task = tasks.first, let result = task.step() else { return nil }
        tasks.removeFirst()
        return (task, result)
    }
}

extension Supervisor {
    /// Takes a part of the next image.
    func takeInPart() {
        guard let (task, result) = intake.step() else { return }
        task.done(result)
    }

    /// Reads an image and has the service upgraded to it.
    func takeIn(
        _ path: String, for service: Service, force: Bool = false, rehearse: Int? = nil,
        allowed: Int? = nil, isDryRun: Bool = false, waits: Bool = false,
        _ done: @escaping (Verdict) -> Void
    ) {
        let begun = freshNow()
        intake.add(path) { result in
            switch result {
            case .success(let image):
                if !isDryRun { service.diskDiffers = false }
                service.request(
                    UpgradeRequest(
                        image: image, force: force, rehearse: rehearse, allowed: allowed,
                        isDryRun: isDryRun, waits: waits, done: done))
            case .failure(let refusal):
                let verdict = Verdict(
                    service: service.name, from: service.currentVersion, to: nil, digest: nil,
                    outcome: .refused(.prepare, reason: refusal.reason),
                    total: self.freshNow().since(begun))
                service.emit(.refused, of: verdict)
                guard !isDryRun else { return done(verdict) }
                service.lastVerdict = verdict
                if service.currentImage == nil { service.stop(because: refusal.reason) }
                done(verdict)
            }
        }
    }

    // MARK: The image store

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
        pruneImages()
        keepHouse(
            .keepImage(
                service.name, directory: state.images, name: image.fileName, image: image.memory,
                byteCount: image.byteCount))
    }

    private func pruneImages() {
        for name in needlessImages {
            keptImages.remove(name)
            do throws(SystemError) { try SegmentFile.remove(name, in: state.images) } catch {
                logger.warning("an old image stays: \(error)")
            }
        }
    }
}
