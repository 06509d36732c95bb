// ServiceDetail: one service closely. Runs in baton.

import BatonClient

enum ServiceDetail {
    static func lines(_ service: ServiceStatus, colour: Bool) -> [String] {
        let facts = facts(service)
        let width = facts.map(\.name.count).max() ?? 0
        func styled(_ text: String, _ style: Style) -> String {
            colour ? style.apply(to: text) : text
        }
        return [styled(service.name, .heading)]
            + facts.map { fact in
                let blanks = String(repeating: " ", count: width - fact.name.count + 2)
                return "  " + styled(fact.name, .faint) + blanks
                    + styled(fact.value, fact.style)
            }
    }

    private struct Fact {
        var name: String
        var value: String
        var style = Style.plain
    }

    private static func facts(_ service: ServiceStatus) -> [Fact] {
        var state = service.state.rawValue
        if let phase = service.phase { state += ", \(phase)" }
        if let reason = service.reason { state += ": \(reason)" }

        var facts = [Fact(name: "state", value: state, style: service.state.style)]
        facts.append(
            Fact(name: "version", value: code(service.version, service.digest, service.pid)))
        if service.oldVersion != nil || service.oldPid != nil {
            facts.append(
                Fact(
                    name: "old", value: code(service.oldVersion, service.oldDigest, service.oldPid))
            )
        }
        if service.diskVersionDiffers {
            facts.append(
                Fact(
                    name: "file", value: "another image than the one that runs: 'baton reload'",
                    style: .busy))
        }
        facts += [
            Fact(
                name: "messages",
                value: "\(service.appended) accepted, \(service.settled) settled, "
                    + "\(service.waiting) waiting"),
            Fact(
                name: "dead letters", value: "\(service.deadLetters)",
                style: service.deadLetters > 0 ? .bad : .plain),
            Fact(
                name: "mailbox",
                value: "\(Quantity.bytes(service.mailboxBytes)), durability \(service.durability)"),
            Fact(name: "connections", value: "\(service.connections)"),
            Fact(name: "restarts", value: "\(service.restarts)"),
            Fact(name: "upgrades", value: "\(service.upgrades)"),
        ]
        if let verdict = service.lastUpgrade {
            facts.append(
                Fact(
                    name: "last upgrade", value: verdict.sentence,
                    style: verdict.verdict == .refused ? .bad : .plain))
        }
        for image in service.images {
            facts.append(
                Fact(name: "image", value: "\(image.version) \(image.digest) \(image.role)"))
        }
        return facts
    }

    /// `2, image 0c4f1e2a9b3d, process 123`
    private static func code(_ version: String?, _ digest: String?, _ pid: Int?) -> String {
        var parts = [version ?? "-"]
        if let digest { parts.append("image \(digest.prefix(12))") }
        if let pid { parts.append("process \(pid)") }
        return parts.joined(separator: ", ")
    }
}
