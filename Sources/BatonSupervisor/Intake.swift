// Images taken in: at the start, by SIGHUP, by `RELOAD` and `UPGRADE`. Runs in batond.

import BatonCore

/// Files being copied and hashed, one after the other, a part a turn.
struct IntakeQueue {
    final class Task {
        let path: String
        /// Whose upgrade it is for, if it is for one.
        let service: ServiceName?
        let done: (Result<Image, ImageRefusal>) -> Void
        /// What was asked for after it.
        fileprivate(set) var followers: [() -> Void] = []
        fileprivate var intake: ImageIntake?

        fileprivate init(
            _ path: String, _ service: ServiceName?,
            _ done: @escaping (Result<Image, ImageRefusal>) -> Void
        ) {
            self.path = path
            self.service = service
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
        _ path: String, for service: ServiceName? = nil,
        _ done: @escaping (Result<Image, ImageRefusal>) -> Void
    ) { tasks.append(Task(path, service, done)) }

    /// Does `action` once the images of upgrades of `service` that were asked for before are in.
    func afterUpgrades(of service: ServiceName, _ action: @escaping () -> Void) {
        guard let last = tasks.last(where: { $0.service == service }) else { return action() }
        last.followers.append(action)
    }

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
        for follower in task.followers { follower() }
    }

    /// Reads an image and has the service upgraded to it.
    func takeIn(
        _ path: String, for service: Service, force: Bool = false, rehearse: Int? = nil,
        allowed: Int? = nil, isDryRun: Bool = false, waits: Bool = false, isReload: Bool = false,
        _ done: @escaping (Verdict) -> Void
    ) {
        let begun = freshNow()
        intake.add(path, for: service.name) { result in
            switch result {
            case .success(let image):
                guard service.removal == nil else { return done(self.refusal(of: service, begun)) }
                if isReload, let reason = service.fault(with: image) {
                    let refused = Verdict(
                        service: service.name, from: service.currentVersion, to: nil,
                        digest: image.digest, outcome: .refused(.prepare, reason: reason),
                        total: self.freshNow().since(begun))
                    if !isDryRun { service.emit(.refused, of: refused) }
                    return done(refused)
                }
                if !isDryRun { service.diskDiffers = false }
                var request = UpgradeRequest(
                    image: image, force: force, rehearse: rehearse, allowed: allowed,
                    isDryRun: isDryRun, waits: waits, done: done)
                request.asked = begun
                service.request(request)
            case .failure(let refusal):
                let verdict = Verdict(
                    service: service.name, from: service.currentVersion, to: nil, digest: nil,
                    outcome: .refused(.prepare, reason: refusal.reason),
                    total: self.freshNow().since(begun))
                guard !isDryRun else { return done(verdict) }
                service.emit(.refused, of: verdict)
                service.lastVerdict = verdict
                if service.currentImage == nil { service.stop(because: refusal.reason) }
                done(verdict)
            }
        }
    }

    func refusal(of leaving: Service, _ begun: Moment) -> Verdict {
        Verdict(
            service: leaving.name, from: leaving.currentVersion, to: nil, digest: nil,
            outcome: .refused(.prepare, reason: "it is being removed"),
            total: freshNow().since(begun))
    }
}
