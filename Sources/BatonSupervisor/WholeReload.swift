// The reload of the whole: the configuration is read again, every service whose image changed is
// upgraded. Runs in batond.
//
// Everything is read and checked before anything is changed. Of the services only so many are
// prepared at the same time, so that hundreds do not starve each other; one that takes long to
// prepare does not hold up the others either.

import BatonCore
import BatonLinux
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
        var verdicts: [Verdict] = []

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
        let new = try readConfigurationAgain()
        let files: [(service: ServiceName, path: String)]
        do throws(ImageRefusal) { files = try pluginFiles() } catch {
            throw ReloadRefusal(reason: error.reason)
        }
        // Everything is known and right: from here on things change.
        if !manner.isDryRun { apply(new) }
        reload.count += 1
        reload.run = ReloadState.Run(
            manner: manner, waiters: waiters, number: reload.count, queue: files[...],
            left: files.count)
        for service in services.values
        where !files.contains(where: { $0.service == service.name }) {
            service.log.warning(
                "its file is gone from \(configuration.directories.plugins); it goes on as it is")
        }
        if files.isEmpty { endReload() } else { prepareNext() }
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
        guard quarantined[name] == nil, let service = services[name] ?? open(name) else {
            return refuseQuarantined(name)
        }
        takeIn(path, for: service) { self.reloaded($0) }
    }

    private func refuseQuarantined(_ name: ServiceName) {
        reloaded(
            Verdict(
                service: name, from: nil, to: nil, digest: nil,
                outcome: .refused(.prepare, reason: quarantined[name] ?? "it is quarantined"),
                total: .milliseconds(0)))
    }

    private func reloaded(_ verdict: Verdict) {
        guard reload.run != nil else { return }
        reload.run?.verdicts.append(verdict)
        reload.run?.left -= 1
        if reload.run?.left == 0 { endReload() } else { isPrepared(verdict.service) }
    }

    /// Services that the summary of a reload names.
    private static let changesTold = 8

    private func endReload() {
        guard let run = reload.run else { return }
        reload.run = nil
        let ordered = run.verdicts.sorted { $0.service < $1.service }
        let changed = ordered.filter { $0.outcome != .current }
        let told = changed.prefix(Self.changesTold)
        var changes = told.map { "\($0.service) \($0.isRefused ? "refused" : $0.to ?? "")" }
            .joined(separator: ", ")
        if changed.count > told.count { changes += " and \(changed.count - told.count) more" }
        if !run.manner.isDryRun {
            lastSummary = changed.isEmpty ? nil : "last reload: " + changes
            emit(Event(.reloaded, cause: changed.isEmpty ? "every image is current" : changes))
        }
        manager.ready(status: summary)
        for waiter in run.waiters { waiter(.success(ordered)) }
        beginNextReload()
    }
}
