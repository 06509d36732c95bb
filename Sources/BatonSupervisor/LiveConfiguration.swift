// A configuration that takes the place of another while batond runs. Runs in batond.

import BatonCore
import BatonStore
import Logging

extension Configuration {
    /// The keys that differ from `old` and cannot change while batond runs: buffers, directories
    /// and locks rest on them.
    package func keysThatNeedRestart(after old: Configuration) -> [String] {
        var keys: [String] = []
        if directories.plugins != old.directories.plugins { keys.append("plugins") }
        if directories.state != old.directories.state { keys.append("state") }
        if directories.runtime != old.directories.runtime { keys.append("runtime") }
        if limits.messageBytes != old.limits.messageBytes { keys.append("message_bytes") }
        if limits.stateBytes != old.limits.stateBytes { keys.append("state_bytes") }
        return keys
    }
}

extension Supervisor {
    /// The configuration as its file is now, wholly checked.
    func readConfigurationAgain() throws(ReloadRefusal) -> Configuration {
        let new: Configuration
        do throws(ConfigurationRefusal) {
            new = try rereadConfiguration?() ?? configuration
        } catch { throw ReloadRefusal(reason: error.description) }
        let keys = new.keysThatNeedRestart(after: configuration)
        guard keys.isEmpty else {
            throw ReloadRefusal(
                reason: keys.map { "\(new.place(of: $0)): \($0) needs a restart" }
                    .joined(separator: "; ")
                    + "; nothing was changed")
        }
        return new
    }

    /// Everything that is said in it holds from here on.
    func apply(_ new: Configuration) {
        configuration = new
        memory.budget = new.limits.clientsBudget
        checkPlaces()
        logger.logLevel = new.logLevel
        for service in services.values { service.settingsChanged() }
        regroup()
    }
}

extension Service {
    /// Who may no longer talk to it is closed.
    private func closeThoseNotAdmitted() {
        for connection in supervisor.connections.values {
            guard case .lines(let service) = connection.wire, service === self,
                !admits(connection)
            else { continue }
            supervisor.audit(connection.peer, refusedBy: self)
            supervisor.close(connection)
        }
    }

    /// Takes what the configuration says now.
    func settingsChanged() {
        let configuration = supervisor.configuration
        let old = settings
        settings = configuration.settings(of: name)
        restartPolicy.change(
            restarts: settings.restarts, period: settings.restartPeriod, type: settings.restart)
        mailbox.byteLimit = configuration.limits.mailboxBytes
        releaseHeldUp()
        if settings.access != old.access {
            supervisor.changeSocketMode(of: self)
            closeThoseNotAdmitted()
        }
        // A release on probation begins the new one.
        if settings.probation != old.probation, probationEnds != nil { beginProbation() }
        guard durability != old.durability else { return }
        // What was written before waits for a sync of the new kind.
        if mailbox.needsSync { supervisor.touch(self) }
        if isGated, mailbox.needsSync { supervisor.commits(self) }
    }
}
