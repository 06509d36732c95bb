// RELOAD, UPGRADE and what else changes which code runs. Runs in batond.

import BatonCore
import BatonWire

extension Supervisor {
    func reload(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        requestReload { result in
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
        var path: String?
        var force = false
        var index = 2
        while index <= command.count {
            switch unsafe CommandOption(command.bytes(index)) {
            case .image where index < command.count:
                path = command.text(index + 1)
                index += 2
            case .force:
                force = true
                index += 1
            default:
                return connection.replyError(slot, "ERR", "usage: " + CommandName.upgrade.usage)
            }
        }
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
        guard path.hasPrefix("/") else {
            return connection.replyError(slot, "ERR", "IMAGE takes an absolute path")
        }
        takeIn(path, for: service, force: force) { verdict in
            self.answer(connection, slot, StatusReport.verdict(verdict))
        }
    }

    func suspend(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        service.suspendByHand { error in self.done(command.connection, slot, error) }
    }

    func resume(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        service.resumeByHand()
        done(command.connection, slot, nil)
    }

    func purge(_ command: Command, _ slot: UInt64) {
        guard let service = service(command, slot) else { return }
        service.purgeOld()
        done(command.connection, slot, nil)
    }
}
