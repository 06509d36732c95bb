// ServiceTable: all services at a glance. Runs in baton.

import BatonClient

enum ServiceTable {
    static func table(_ services: [ServiceStatus]) -> Table {
        var table = Table([
            .init(title: "NAME"), .init(title: "STATE"), .init(title: "VERSION"),
            .init(title: "PID", isNumber: true), .init(title: "WAITING", isNumber: true),
            .init(title: "SETTLED", isNumber: true), .init(title: "UPGRADES", isNumber: true),
            .init(title: "PAUSE", isNumber: true),
        ])
        table.rows = services.map { service in
            [
                "\(service.name)",
                Table.Cell(service.state.rawValue, service.state.style),
                "\(service.version ?? "-")",
                "\(service.pid.map(String.init) ?? "-")",
                "\(service.waiting)",
                "\(service.settled)",
                "\(service.upgrades)",
                "\(service.lastUpgrade?.pauseMicroseconds.map(Quantity.microseconds) ?? "-")",
            ]
        }
        return table
    }

    /// What an operator should know beside the table.
    static func remarks(_ status: DaemonStatus) -> [String] {
        var remarks: [String] = []
        if status.state != "running" { remarks.append("batond is \(status.state)") }
        if status.services.isEmpty {
            remarks.append(
                "no services: put NAME.so into the plugin directory, then 'baton reload'")
        }
        for service in status.services {
            if let reason = service.reason {
                remarks.append("\(service.name) is \(service.state.rawValue): \(reason)")
            }
            if service.deadLetters > 0 {
                remarks.append("\(service.name) has dead letters: \(service.deadLetters)")
            }
            if service.durability != "commit" {
                remarks.append(
                    "\(service.name) answers before the disk does: durability \(service.durability)"
                )
            }
            if service.diskVersionDiffers {
                remarks.append(
                    "\(service.name) runs another image than its file: 'baton reload' upgrades it")
            }
        }
        for removed in status.removed ?? [] {
            guard let waiting = removed.waiting, waiting > 0 else { continue }
            remarks.append(
                "\(removed.name) was removed, and its mailbox keeps messages: \(waiting); put "
                    + "\(removed.name).so back and 'baton reload' handles them")
        }
        return remarks
    }
}

extension ServiceState {
    var style: Style {
        switch self {
        case .running: .good
        case .stopped, .quarantined, .readOnly: .bad
        case .starting, .suspended, .upgrading, .restarting, .removing: .busy
        default: .plain
        }
    }
}
