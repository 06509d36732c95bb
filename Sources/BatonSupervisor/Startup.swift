// How batond begins: services and their mailboxes, sockets, the first images, ready.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonSystemd
import Glibc
import Logging

extension Supervisor {
    package func begin() throws(StartRefusal) {
        let runtime = configuration.directories.runtime
        try StateDirectory.make(runtime, mode: 0o755)
        runtimeLock = try StateDirectory.lock(runtime: runtime)
        try StateDirectory.make("\(runtime)/services", mode: 0o755)
        var files: [(service: ServiceName, path: String)] = []
        // Services that have a release run without the directory.
        do throws(ImageRefusal) { files = try pluginFiles() } catch {
            logger.error("\(error.reason)", metadata: ["event": "audit"])
        }
        var names = Set(files.map(\.0))
        // A mailbox whose plugin is gone has messages nevertheless; one that was removed waits.
        let removed = state.removals()
        for name in (try? DirectoryListing.names("\(state.path)/mailboxes")) ?? [] {
            if let name = ServiceName(name), removed[name] == nil { names.insert(name) }
        }
        for name in removed.keys.sorted() where !names.contains(name) {
            logger.info(
                "it was removed, and its mailbox is kept", metadata: ["service": "\(name)"])
        }
        try expectPaths(of: names)
        try expectDescriptors(for: names.count)
        if let readOnlyReason { emit(Event(.readOnly, cause: readOnlyReason)) }
        for name in names.sorted() where shutdown == .running { _ = open(name) }
        // A mailbox could not be made durable.
        guard shutdown == .running else { return }
        checkPlaces()
        if names.isEmpty {
            logger.warning(
                """
                no service: \(configuration.directories.plugins) has no .so file; put one there and \
                'baton reload'
                """)
        }
        do throws(SystemError) {
            try listen(.baton, at: "\(runtime)/baton.sock", mode: 0o660)
            try listen(.control, at: "\(runtime)/control.sock", mode: 0o660)
        } catch { throw StartRefusal("\(error)") }
        regroup()
        unsettledStarts = Set(services.keys)
        for service in services.values.sorted(by: { $0.name < $1.name }) {
            let file = files.first { $0.service == service.name }?.path
            if let file, removed[service.name] != nil {
                comeBack(service, with: file) { _ in }
            } else {
                begin(service, file: file)
            }
        }
        lookAtRoom()
        becomeReady()
        feedWatchdog()
    }

    private func expectPaths(of names: Set<ServiceName>) throws(StartRefusal) {
        let longest = names.map(socketPath).max { $0.utf8.count < $1.utf8.count }
        guard let longest, longest.utf8.count > UnixSocket.pathBytes else { return }
        throw StartRefusal(
            "\(longest) has \(longest.utf8.count) bytes, and a socket's path has at most "
                + "\(UnixSocket.pathBytes): give a shorter --runtime, or the service a shorter name"
        )
    }

    private func expectDescriptors(for count: Int) throws(StartRefusal) {
        // At rest; with less mailboxes could not even be read.
        let needed = FixedLimits.descriptorsKept + FixedLimits.descriptorsPerServiceAtRest * count
        guard descriptorLimit < needed else { return }
        throw StartRefusal(
            "there may be \(descriptorLimit) descriptors, and \(count) services alone need "
                + "\(needed): raise LimitNOFILE=")
    }

    /// Opens a service's mailbox and its socket. `nil` if that cannot be: it is out of service then, or,
    /// if the disk fails, batond ends.
    func open(_ name: ServiceName) -> Service? {
        if let readOnlyReason {
            isOut(name, .readOnly(reason: "\(readOnlyReason): nothing is written"))
            return nil
        }
        var report = Recovery.Report()
        do throws(StoreError) {
            do throws(SystemError) { try state.forgetRemoval(name) } catch { throw .system(error) }
            try state.expectMailbox(name)
            var mailbox = try Recovery.open(
                service: name, path: state.mailboxPath(name),
                byteLimit: configuration.limits.mailboxBytes,
                wasMade: StateDirectory.wasMade(state.mailboxPath(name)), report: &report)
            mailbox.remembersIDs(from: steadyMilliseconds)
            try state.noteMailbox(name)
            let service = Service(name, mailbox: mailbox, supervisor: self)
            services[name] = service
            note(report, service)
            do throws(SystemError) { try listen(.service(service), for: name) } catch {
                throw .system(error)
            }
            return service
        } catch {
            services[name] = nil
            if error.isFailingDisk {
                fail("\(name): \(error)")
            } else {
                isOut(name, Outage(error))
            }
            return nil
        }
    }

    private func isOut(_ name: ServiceName, _ outage: Outage) {
        let before = outages.updateValue(outage, forKey: name)
        if case .noRoom = outage { openLater(name) }
        // Told once, however often it is tried.
        guard before == nil else { return }
        if readOnlyReason == nil { emit(Event(outage.event, service: name, cause: outage.reason)) }
        do throws(SystemError) { try listen(.outage(outage), for: name) } catch {
            logger.error("\(error)")
        }
    }

    /// There may be room now for a service that could not be opened.
    func openAgain(_ name: ServiceName) {
        // Its clients find the one socket or the other.
        guard let service = open(name) else { return }
        outages[name] = nil
        closeOutageListener(of: name)
        emit(Event(.writable, service: name))
        let files = (try? pluginFiles()) ?? []
        begin(service, file: files.first { $0.service == name }?.path)
    }

    /// That of the outage; the service's own has taken its place.
    private func closeOutageListener(of name: ServiceName) {
        let path = socketPath(of: name)
        listeners.removeAll { listener in
            guard case .outage = listener.kind, listener.path == path else { return false }
            stopWatching(listener.socket.number, token: listener.token)
            return true
        }
    }

    private func note(_ report: Recovery.Report, _ service: Service) {
        for file in report.unknownFiles {
            service.log.warning("an unknown file in its mailbox is left alone: \(file)")
        }
        if let slot = report.damagedSlot {
            service.log.warning(
                """
                a checkpoint is damaged: \(slot). An earlier state is used, and the messages since are \
                handled again, their replies discarded
                """)
        }
        if let slot = report.damagedFallback {
            service.log.warning(
                """
                a checkpoint is damaged: \(slot). It held what the release could be rolled back to: \
                the release is confirmed
                """)
        }
        guard !report.isNew else { return }
        service.log.log(
            level: report.bytesDropped > 0 ? .warning : .info,
            "mailbox recovered: \(report.messages) messages wait",
            metadata: [
                "messages": "\(report.messages)", "bytes_read": "\(report.bytesRead)",
                "bytes_dropped": "\(report.bytesDropped)",
            ])
    }

    /// A service boots with its release; one that never ran, with the plugin directory's file.
    private func begin(_ service: Service, file: String?) {
        guard let release = service.mailbox.standing.release else {
            guard let file else {
                return service.stop(
                    because: "there is no image for it: put \(service.name).so into "
                        + "\(configuration.directories.plugins) and 'baton reload'")
            }
            takeIn(file, for: service) { _ in }
            return
        }
        fetch(release.digest) { image in
            guard let image else {
                service.log.critical(
                    "its image \(release.digest.short) is missing from the image store, or damaged")
                return self.boot(service, with: file, insteadOf: release)
            }
            service.boot(image)
            if let file { self.compare(file, with: release, service) }
        }
    }

    /// A service that was removed is there again: it boots its release, and then takes the file.
    func comeBack(
        _ service: Service, with file: String, _ done: @escaping (Verdict) -> Void
    ) {
        let begun = freshNow()
        returning[service.name] = {
            self.takeIn(file, for: service) { verdict in
                var verdict = verdict
                if verdict.outcome == .current { verdict.outcome = .started }
                verdict.total = self.freshNow().since(begun)
                done(verdict)
            }
        }
        begin(service, file: nil)
    }

    /// The image store has lost a release's image: the plugin directory may have the same bytes.
    private func boot(
        _ service: Service, with file: String?, insteadOf release: MailboxMachine.Release
    ) {
        guard let file else {
            return service.stop(because: "its image \(release.digest.short) is lost")
        }
        intake.add(file) { result in
            guard case .success(let image) = result, image.digest == release.digest else {
                return service.stop(
                    because: "its image \(release.digest.short) is lost, and \(file) is another: "
                        + "'baton reload' takes that")
            }
            service.boot(image)
        }
    }

    /// What a reload would change is said, not done: the release boots, the operator upgrades.
    private func compare(_ file: String, with release: MailboxMachine.Release, _ service: Service) {
        intake.add(file) { result in
            guard case .success(let image) = result, image.digest != release.digest else { return }
            service.diskDiffers = true
            service.log.warning(
                """
                it runs its release \(release.version); \(file) is another image: 'baton reload' \
                takes it
                """)
        }
    }

    // MARK: Ready

    /// The service runs, or it is known that it does not.
    func isSettled(_ service: Service) {
        unsettledStarts.remove(service.name)
        becomeReady()
        statusChanged()
        memberIsSettled(service)
        returning.removeValue(forKey: service.name)?()
    }

    private func becomeReady() {
        guard !isReady, unsettledStarts.isEmpty else { return }
        isReady = true
        emit(Event(.ready, cause: summary))
        manager.ready(status: summary)
        beginNextReload()
    }

    /// Said soon, and once for all that changes meanwhile: the summary of hundreds of services takes
    /// its time, and so does the service manager.
    func statusChanged() {
        guard isReady, !isStatusDue else { return }
        isStatusDue = true
        _ = after(.milliseconds(100)) { [weak self] in
            guard let self else { return }
            self.isStatusDue = false
            if self.shutdown == .running { self.manager.status(self.summary) }
        }
    }

    /// A sign of life, as long as the commit thread makes progress too.
    private func feedWatchdog() {
        guard let microseconds = manager.watchdogMicroseconds else { return }
        let half = Moment.Span(nanoseconds: microseconds * 500)
        if let begun = commit.round?.begun, freshNow().since(begun) > half {
            logger.critical("a sync takes longer than \(half): no sign of life to systemd")
        } else {
            manager.alive()
        }
        _ = after(half) { [weak self] in self?.feedWatchdog() }
    }
}
