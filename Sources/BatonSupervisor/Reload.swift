// Images taken in: at the start, by SIGHUP, by `RELOAD` and `UPGRADE`. Runs in batond.

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

enum ReloadState {
    case idle
    /// Waits for so many verdicts; those who asked meanwhile get a reload of their own after it.
    case running(left: Int, verdicts: [Verdict], waiters: [Waiter])

    /// Is given the verdicts, or why nothing was done.
    typealias Waiter = (Result<[Verdict], ImageRefusal>) -> Void

    var isIdle: Bool { if case .idle = self { true } else { false } }
}

extension Supervisor {
    /// Takes a part of the next image.
    func takeInPart() {
        guard let (task, result) = intake.step() else { return }
        task.done(result)
    }

    /// The plugin directory's files that are services, by name.
    func pluginFiles() throws(ImageRefusal) -> [(ServiceName, String)] {
        let directory = configuration.directories.plugins
        let names: [String]
        let status: stat
        do throws(SystemError) {
            names = try DirectoryListing.names(directory)
            status = try Descriptor.open(directory, flags: O_RDONLY | O_DIRECTORY).status()
        } catch {
            throw ImageRefusal(reason: "the plugin directory cannot be read: \(error)")
        }
        guard status.st_uid == 0 || status.st_uid == geteuid(), status.st_mode & S_IWOTH == 0 else {
            throw ImageRefusal(
                reason: "the plugin directory \(directory) is foreign, or may be written by "
                    + "everybody: chown root \(directory); chmod o-w \(directory)")
        }
        var found: [ServiceName: String] = [:]
        for name in names where !name.hasPrefix(".") && name.hasSuffix(".so") {
            guard let service = ServiceName(imageFile: name) else {
                logger.warning(
                    "\(directory)/\(name) is left out: a service's name is [a-z][a-z0-9-]{0,62}")
                continue
            }
            if let other = found[service] {
                logger.warning("\(directory)/\(name) is left out: \(other) is \(service) already")
                continue
            }
            found[service] = "\(directory)/\(name)"
        }
        return found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    func pluginPath(of service: ServiceName) throws(ImageRefusal) -> String? {
        try pluginFiles().first { $0.0 == service }?.1
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

    // MARK: Reload of the whole

    /// Every service whose image changed; what is asked meanwhile is one more reload after this.
    func requestReload(_ done: @escaping ReloadState.Waiter) {
        guard shutdown == .running else { return done(.success([])) }
        guard reload.isIdle, isReady else {
            reloadWaiters.append(done)
            return
        }
        beginReload([done])
    }

    private func beginReload(_ waiters: [ReloadState.Waiter]) {
        let files: [(ServiceName, String)]
        do throws(ImageRefusal) { files = try pluginFiles() } catch {
            logger.error("reload refused: \(error.reason)", metadata: ["event": "audit"])
            for waiter in waiters { waiter(.failure(error)) }
            return
        }
        manager.reloading(monotonicMicroseconds: freshNow().nanoseconds / 1000)
        reload = .running(left: files.count, verdicts: [], waiters: waiters)
        for (name, path) in files {
            if quarantined[name] != nil {
                refuseQuarantined(name)
                continue
            }
            guard let service = services[name] ?? open(name) else {
                refuseQuarantined(name)
                continue
            }
            takeIn(path, for: service) { self.reloaded($0) }
        }
        for service in services.values where !files.contains(where: { $0.0 == service.name }) {
            service.log.warning(
                "its file is gone from \(configuration.directories.plugins); it goes on as it is")
        }
        if files.isEmpty { endReload([], waiters) }
    }

    private func refuseQuarantined(_ name: ServiceName) {
        reloaded(
            Verdict(
                service: name, from: nil, to: nil, digest: nil,
                outcome: .refused(.prepare, reason: quarantined[name] ?? "it is quarantined"),
                total: .milliseconds(0)))
    }

    private func reloaded(_ verdict: Verdict) {
        guard case .running(let left, var verdicts, let waiters) = reload else { return }
        verdicts.append(verdict)
        reload = .running(left: left - 1, verdicts: verdicts, waiters: waiters)
        if left == 1 { endReload(verdicts, waiters) }
    }

    private func endReload(_ verdicts: [Verdict], _ waiters: [ReloadState.Waiter]) {
        reload = .idle
        let ordered = verdicts.sorted { $0.service < $1.service }
        let changed = ordered.filter { $0.outcome != .current }
        let changes = changed.map { "\($0.service) \($0.isRefused ? "refused" : $0.to ?? "")" }
            .joined(separator: ", ")
        lastSummary = changed.isEmpty ? nil : "last reload: " + changes
        emit(Event(.reloaded, cause: changed.isEmpty ? "every image is current" : changes))
        manager.ready(status: summary)
        for waiter in waiters { waiter(.success(ordered)) }
        guard !reloadWaiters.isEmpty else { return }
        let next = reloadWaiters
        reloadWaiters = []
        beginReload(next)
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

    /// The images that no service needs are few.
    private func pruneImages() {
        var used: Set<String> = []
        for service in services.values {
            let standing = service.mailbox.standing
            for release in [standing.release, standing.fallback?.release] {
                if let release { used.insert("\(release.digest).so") }
            }
            if let before = service.versionBefore { used.insert(before.image.fileName) }
            for host in [service.current, service.candidate, service.old] {
                if let host { used.insert(host.image.fileName) }
            }
            for request in service.queue {
                if let image = request.image { used.insert(image.fileName) }
            }
            if let attempt = service.attempt { used.insert(attempt.image.fileName) }
        }
        // A quarantined service's release is not known: nothing is pruned.
        guard quarantined.isEmpty else { return }
        let cold = keptImages.subtracting(used).filter { $0.hasSuffix(".so") }
        for name in cold.sorted().dropLast(FixedLimits.coldImages) {
            keptImages.remove(name)
            do throws(SystemError) { try SegmentFile.remove(name, in: state.images) } catch {
                logger.warning("an old image stays: \(error)")
            }
        }
    }
}
