// RELOAD, UPGRADE and what else changes which code runs. Runs in batond.

import BatonCore
import BatonWire

extension Supervisor {
    func reload(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard let options = UpgradeOptions(reload: command.words(from: 1)) else {
            return connection.replyError(slot, "ERR", "usage: " + CommandName.reload.usage)
        }
        requestReload(isDryRun: options.isDryRun, waits: options.waits) { result in
            switch result {
            case .success(let verdicts):
                self.answer(connection, slot, StatusReport.verdicts(verdicts))
            case .failure(let refusal):
                self.done(connection, slot, "REFUSED \(refusal.reason)")
            }
        }
    }

    func upgrade(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard let service = service(command, slot) else { return }
        guard let options = UpgradeOptions(upgrade: command.words(from: 2)) else {
            return connection.replyError(slot, "ERR", "usage: " + CommandName.upgrade.usage)
        }
        var path = options.image
        if path == nil {
            do throws(ImageRefusal) { path = try pluginPath(of: service.name) } catch {
                return connection.replyError(slot, "REFUSED", error.reason)
            }
        }
        guard let path else {
            return connection.replyError(
                slot, "REFUSED",
                "there is no \(service.name).so in "
                    + "\(configuration.directories.plugins): name a file with IMAGE")
        }
        guard path.hasPrefix("/"), !path.utf8.contains(0) else {
            return connection.replyError(slot, "ERR", "IMAGE takes an absolute path")
        }
        takeIn(
            path, for: service, force: options.force, rehearse: options.rehearse,
            allowed: options.allow, isDryRun: options.isDryRun, waits: options.waits
        ) { verdict in
            self.answer(connection, slot, StatusReport.verdict(verdict))
        }
    }

    func rollback(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        let isForced = command.count > 1
        if isForced, unsafe CommandOption(command.bytes(2)) != .force {
            return command.connection.replyError(
                slot, "ERR", "usage: " + CommandName.rollback.usage)
        }
        let begun = freshNow()
        let done: (Verdict) -> Void = { verdict in
            self.answer(command.connection, slot, StatusReport.verdict(verdict))
        }
        // In the order in which they were asked for.
        intake.afterUpgrades(of: service.name) {
            guard service.removal == nil else { return done(self.refusal(of: service, begun)) }
            service.rollbackByHand(force: isForced, done)
        }
    }

    func confirm(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        done(command.connection, slot, service.confirmByHand())
    }

    func suspend(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        service.suspendByHand { error in self.done(command.connection, slot, error) }
    }

    func resume(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        done(command.connection, slot, service.resumeByHand())
    }

    func purge(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        service.purgeOld()
        done(command.connection, slot, nil)
    }
}
