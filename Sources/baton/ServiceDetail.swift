// ServiceDetail: one service closely. Runs in baton.

import BatonClient

enum ServiceDetail {
    static func lines(_ service: ServiceStatus, colour: Bool) -> [String] {
        var list = FactList(title: service.name)
        addCode(service, to: &list)
        addMessages(service, to: &list)
        list.add("connections", "\(service.connections)")
        list.add("restarts", "\(service.restarts)")
        list.add("upgrades", "\(service.upgrades)")
        if let verdict = service.lastUpgrade {
            list.add(
                "last upgrade", verdict.sentence, verdict.exitStatus == .done ? .plain : .bad)
        }
        for image in service.images {
            list.add("image", "\(image.version ?? "-") \(image.digest) \(image.role)")
        }
        return list.lines(colour: colour)
    }

    private static func addCode(_ service: ServiceStatus, to list: inout FactList) {
        var state = service.state.rawValue
        if let phase = service.phase { state += ", \(phase)" }
        if let reason = service.reason { state += ": \(reason)" }
        list.add("state", state, service.state.style)
        list.add("version", code(service.version, service.digest, service.pid))
        if let release = service.release {
            var text = release
            if let left = service.probationMillisecondsLeft {
                text += ", for another \(Quantity.microseconds(left * 1000))"
            }
            list.add("release", text, release == "provisional" ? .busy : .plain)
        }
        if service.release == "provisional", let version = service.confirmedVersion {
            list.add("confirmed", code(version, service.confirmedDigest, nil))
        }
        if service.oldVersion != nil || service.oldPid != nil {
            list.add("old", code(service.oldVersion, service.oldDigest, service.oldPid))
        }
        if service.diskVersionDiffers {
            list.add("file", "another image than the one that runs: 'baton reload'", .busy)
        }
    }

    private static func addMessages(_ service: ServiceStatus, to list: inout FactList) {
        list.add(
            "messages",
            "\(service.appended) accepted, \(service.settled) settled, "
                + "\(service.waiting) waiting")
        if let message = service.messageInHand { list.add("in hand", "message \(message)") }
        list.add(
            "dead letters", "\(service.deadLetters)", service.deadLetters > 0 ? .bad : .plain)
        if let ids = service.ids, ids > 0 { list.add("ids", "\(ids) remembered") }
        list.add(
            "mailbox",
            "\(Quantity.bytes(service.mailboxBytes)), durability \(service.durability)")
    }

    /// `2, image 0c4f1e2a9b3d, process 123`
    private static func code(_ version: String?, _ digest: String?, _ pid: Int?) -> String {
        var parts = [version ?? "-"]
        if let digest { parts.append("image \(digest.prefix(12))") }
        if let pid { parts.append("process \(pid)") }
        return parts.joined(separator: ", ")
    }
}
