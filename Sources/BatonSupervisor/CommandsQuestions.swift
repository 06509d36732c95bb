// STATUS and its like: what changes nothing and is answered in JSON. Runs in batond.

import BatonCore
import BatonWire

extension Supervisor {
    func status(_ command: Command, _ slot: UInt64) {
        let connection = command.connection
        guard command.count == 1 else {
            return answer(connection, slot, StatusReport.daemon(self))
        }
        if let name = ServiceName(command.text(1)), let reason = quarantined[name] {
            return answer(connection, slot, StatusReport.quarantined(name, reason))
        }
        guard let service = service(command, slot) else { return }
        answer(connection, slot, StatusReport.service(service))
    }
}
