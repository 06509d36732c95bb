// The reload of the whole: the configuration is read again, every service whose image changed is
// upgraded. Runs in batond.
//
// Everything is read and checked before anything is changed. Of the services only so many are
// prepared at the same time, so that hundreds do not starve each other; one that takes long to
// prepare does not hold up the others either.

import BatonCore
import BatonLinux
import BatonStore
import BatonSystemd
import Glibc
import Logging

/// Why a reload was not begun; nothing has changed.
struct ReloadRefusal: Error {
    var reason: String
}

struct ReloadState {
    /// Is given the verdicts, or why nothing was done.
    typealias Waiter = (Result<[Verdict], ReloadRefusal>) -> Void

    /// What is asked of a reload.
    struct Manner: Equatable {
        /// Nothing is to change.
        var isDryRun = false
        /// The verdicts are wanted when each release is confirmed or rolled back.
        var waits = false
    }

    fileprivate struct Request {
        var manner: Manner
        var waiter: Waiter
    }

    /// The reload that runs.
    fileprivate struct Run {
        var manner: Manner
        var waiters: [Waiter]
        var number: UInt64
        /// Not begun yet.
        var queue: ArraySlice<(service: ServiceName, path: String)>
        var preparing: Set<ServiceName> = []
        /// Verdicts that are still to come.
        var left: Int
        let verdicts = Verdicts()

        /// One a processor: more of them would only wait for each other, and services that are
        /// suspended already would wait with them.
        private static let atOnce = max(2, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

        /// The next service that may be prepared now.
        mutating func next() -> (service: ServiceName, path: String)? {
            guard preparing.count < Self.atOnce, let file = queue.popFirst() else {
                return nil
            }
            preparing.insert(file.service)
            return file
        }
    }

    /// The verdicts of one reload. Where the final ones are waited for, they outlive it: the next
    /// reload does not wait for probations.
    fileprivate final class Verdicts {
        private(set) var all: [ServiceName: Verdict] = [:]
        private var provisional = 0
        /// Is given the verdicts when all are final.
        private var done: (([Verdict]) -> Void)?

        var inOrder: [Verdict] { all.values.sorted { $0.service < $1.service } }

        func add(_ verdict: Verdict) { all[verdict.service] = verdict }

        /// The verdict of an upgrade, whose release will be confirmed or rolled back.
        func awaitConfirmation(of service: Service, _ verdict: Verdict) {
            provisional += 1
            service.confirmationWaiters.append(
                (
                    verdict,
                    { final in
                        self.all[final.service] = final
                        self.provisional -= 1
                        self.answerIfFinal()
                    }
                ))
        }

        func whenFinal(_ done: @escaping ([Verdict]) -> Void) {
            self.done = done
            answerIfFinal()
        }

        private func answerIfFinal() {
            guard provisional == 0, let done else { return }
            self.done = nil
            done(inOrder)
        }
    }

    fileprivate var run: Run?
    /// Asked for while one runs, or before ready.
    fileprivate var requests: [Request] = []
    fileprivate var count: UInt64 = 0

    var isIdle: Bool { run == nil }
}

extension Supervisor {
    /// What is asked while a reload runs is one more reload after it.
    func requestReload(
        isDryRun: Bool = false, waits: Bool = false, _ done: @escaping ReloadState.Waiter
    ) {
        guard shutdown == .running else { return done(.success([])) }
        reload.requests.append(
            ReloadState.Request(
                manner: ReloadState.Manner(isDryRun: isDryRun, waits: waits), waiter: done))
        beginNextReload()
    }

    /// Begins the next reload, if one is asked for and none runs.
    func beginNextReload() {
        guard reload.isIdle, isReady, shutdown == .running,
            let manner = reload.requests.first?.manner
        else { return }
        let waiters = reload.requests.filter { $0.manner == manner }.map(\.waiter)
        reload.requests.removeAll { $0.manner == manner }
        do throws(ReloadRefusal) {
            try begin(manner, waiters)
        } catch {
            emit(Event(.refused, cause: "reload: \(error.reason)"))
            if !manner.isDryRun { lastSummary = "last reload refused: \(error.reason)" }
            manager.ready(status: summary)
            for waiter in waiters { waiter(.failure(error)) }
            beginNextReload()
        }
    }

    private func begin(_ manner: ReloadState.Manner, _ waiters: [ReloadState.Waiter])
        throws(ReloadRefusal)
    {
        manager.reloading(monotonicMicroseconds: freshNow().nanoseconds / 1000)
        if let readOnlyReason {
            throw ReloadRefusal(
                reason: "batond writes nothing: \(readOnlyReason); put the disk right and start "
                    + "batond again")
        }
        let new = try readConfigurationAgain()
        let files: [(service: ServiceName, path: String)]
        do throws(ImageRefusal) { files = try pluginFiles() } catch {
            throw ReloadRefusal(reason: error.reason)
        }
        // Everything is known and right: from here on things change.
        if !manner.isDryRun { apply(new) }
        let named = Set(files.map(\.service))
        let gone = Set(services.keys).union(outages.keys).subtracting(named).sorted()
        reload.count += 1
        reload.run = ReloadState.Run(
            manner: manner, waiters: waiters, number: reload.count, queue: files[...],
            left: files.count + gone.count)
        if named.isEmpty, gone.isEmpty { return endReload() }
        for name in gone { remove(name, manner) }
        prepareNext()
    }

    private func remove(_ name: ServiceName, _ manner: ReloadState.Manner) {
        if manner.isDryRun {
            reloaded(
                Verdict(
                    service: name, from: services[name]?.currentVersion, to: nil, digest: nil,
                    outcome: .wouldRemove, total: .milliseconds(0)))
        } else if let service = services[name] {
            remove(service) { self.reloaded($0) }
        } else {
            remove(outOfService: name) { self.reloaded($0) }
        }
    }

    /// Begins with services as long as there is room.
    private func prepareNext() {
        while let (name, path) = reload.run?.next(), let number = reload.run?.number {
            // One that takes longer does not hold up the others.
            _ = after(FixedLimits.preparedWithin) { [weak self] in
                guard let self, self.reload.run?.number == number else { return }
                self.isPrepared(name)
            }
            take(path, for: name)
        }
    }

    /// The service's candidate needs the machine no more than others: it is prepared, or refused.
    func isPrepared(_ name: ServiceName) {
        guard reload.run?.preparing.remove(name) != nil else { return }
        prepareNext()
    }

    private func take(_ path: String, for name: ServiceName) {
        guard outages[name] == nil else { return refuseOutage(name) }
        let isDryRun = reload.run?.manner.isDryRun == true
        if let service = services[name] {
            return takeIn(path, for: service, isDryRun: isDryRun, isReload: true) {
                self.reloaded($0)
            }
        }
        if isDryRun { return look(at: path, for: name) }
        guard let service = open(name) else { return refuseOutage(name) }
        emit(Event(.added, service: name, from: service.currentVersion))
        if service.mailbox.standing.release == nil {
            takeIn(path, for: service) { self.reloaded($0) }
        } else {
            comeBack(service, with: path) { self.reloaded($0) }
        }
    }

    /// Whether a service would start that is not there. It would have a mailbox and a socket then,
    /// so no host is started for it now.
    private func look(at path: String, for name: ServiceName) {
        let begun = freshNow()
        intake.add(path) { result in
            let digest: ImageDigest?
            let outcome: Verdict.Outcome
            switch result {
            case .success(let image): (digest, outcome) = (image.digest, .wouldStart)
            case .failure(let refusal):
                (digest, outcome) = (nil, .refused(.prepare, reason: refusal.reason))
            }
            self.reloaded(
                Verdict(
                    service: name, from: nil, to: nil, digest: digest, outcome: outcome,
                    total: self.freshNow().since(begun)))
        }
    }

    private func refuseOutage(_ name: ServiceName) {
        reloaded(
            Verdict(
                service: name, from: nil, to: nil, digest: nil,
                outcome: .refused(.prepare, reason: outages[name]?.reason ?? "it is quarantined"),
                total: .milliseconds(0)))
    }

    private func reloaded(_ verdict: Verdict) {
        guard let run = reload.run else { return }
        run.verdicts.add(verdict)
        if run.manner.waits, case .upgraded = verdict.outcome,
            let service = services[verdict.service], service.mailbox.standing.fallback != nil
        {
            run.verdicts.awaitConfirmation(of: service, verdict)
        }
        reload.run?.left -= 1
        if run.left == 1 { endReload() } else { isPrepared(verdict.service) }
    }

    /// Services that the summary of a reload names.
    private static let changesTold = 8

    private func endReload() {
        guard let run = reload.run else { return }
        reload.run = nil
        let changed = run.verdicts.inOrder.filter { $0.outcome != .current }
        let told = changed.prefix(Self.changesTold)
        var changes = told.map { "\($0.service) \($0.isRefused ? "refused" : $0.to ?? "removed")" }
            .joined(separator: ", ")
        if changed.count > told.count { changes += " and \(changed.count - told.count) more" }
        if !run.manner.isDryRun {
            lastSummary = changes.isEmpty ? nil : "last reload: " + changes
            emit(Event(.reloaded, cause: changes.isEmpty ? "every image is current" : changes))
        }
        manager.ready(status: summary)
        run.verdicts.whenFinal { [waiters = run.waiters] verdicts in
            for waiter in waiters { waiter(.success(verdicts)) }
        }
        beginNextReload()
    }
}
