// What `STATUS` and the verdicts look like: JSON. Runs in batond.

import BatonCore
import BatonStore
import BatonWire
import Glibc

enum StatusReport {
    static let version = "0.3.1"

    static func daemon(_ supervisor: Supervisor) -> [UInt8] {
        var json = JSONText()
        json.object { json in
            json.member("version", version)
            json.member("pid", getpid())
            json.member(
                "uptime_seconds",
                supervisor.now.since(supervisor.started).nanoseconds / 1_000_000_000)
            json.member("state", supervisor.stateText)
            json.object("clients") { writeClients(of: supervisor, to: &$0) }
            json.array("services") { json in
                for service in supervisor.services.values.sorted(by: { $0.name < $1.name }) {
                    json.object { write(service, to: &$0) }
                }
                for (name, outage) in supervisor.outages.sorted(by: { $0.key < $1.key }) {
                    json.object { write(outOfService: name, outage, to: &$0) }
                }
            }
            json.array("removed") { json in
                let removals = supervisor.state.removals().sorted { $0.key < $1.key }
                for (name, removed) in removals where supervisor.services[name] == nil {
                    json.object { json in
                        json.member("name", name.text)
                        json.member("waiting", removed.waiting)
                    }
                }
            }
        }
        return json.bytes
    }

    static func service(_ service: Service) -> [UInt8] {
        var json = JSONText()
        json.object { write(service, to: &$0) }
        return json.bytes
    }

    static func outage(_ name: ServiceName, _ outage: Outage) -> [UInt8] {
        var json = JSONText()
        json.object { write(outOfService: name, outage, to: &$0) }
        return json.bytes
    }

    static func explanation(
        _ explanation: Explanation, _ service: ServiceName, _ state: String
    ) -> [UInt8] {
        var json = JSONText()
        json.object { json in
            json.member("service", service.text)
            json.member("state", state)
            json.member("doing", explanation.doing)
            json.member("waits_for", explanation.waitsFor)
            json.member("message", explanation.message)
            json.member("since_microseconds", explanation.since?.microseconds)
            json.array("lines") { json in
                for line in explanation.lines { json.value(line) }
            }
        }
        return json.bytes
    }

    static func verdict(_ verdict: Verdict) -> [UInt8] {
        var json = JSONText()
        json.object { write(verdict, to: &$0) }
        return json.bytes
    }

    static func verdicts(_ verdicts: [Verdict]) -> [UInt8] {
        var json = JSONText()
        json.array { json in
            for verdict in verdicts { json.object { write(verdict, to: &$0) } }
        }
        return json.bytes
    }

    /// In the form of Redis's INFO.
    static func info(_ supervisor: Supervisor) -> String {
        """
        # Server\r
        server:baton\r
        baton_version:\(version)\r
        process_id:\(getpid())\r
        # Clients\r
        connected_clients:\(supervisor.connections.count)\r
        maxclients:\(supervisor.places)\r
        clients_bytes:\(supervisor.memory.used)\r
        clients_accepted:\(supervisor.counters.accepted)\r
        \(ClientCounters.Reason.allCases.map { "clients_\($0.name):\(supervisor.counters.count($0))\r\n" }.joined())\
        # Stats\r
        commits:\(supervisor.commit.count)\r
        services:\(supervisor.services.count)\r

        """
    }

    private static func writeClients(of supervisor: Supervisor, to json: inout JSONText) {
        json.member("connected", supervisor.connections.count)
        json.member("places", supervisor.places)
        json.member("bytes", supervisor.memory.used)
        json.member("accepted", supervisor.counters.accepted)
        for reason in ClientCounters.Reason.allCases {
            json.member(reason.name, supervisor.counters.count(reason))
        }
    }

    private static func write(_ service: Service, to json: inout JSONText) {
        let standing = service.mailbox.standing
        json.member("name", service.name.text)
        json.member("state", service.stateText)
        json.member("reason", service.reasonText)
        json.member("version", standing.release?.version)
        json.member("digest", standing.release.map { "\($0.digest)" })
        json.member("pid", service.current?.pid)
        json.member("old_version", service.old?.version)
        json.member("old_digest", service.old.map { "\($0.image.digest)" })
        json.member("old_pid", service.old?.pid)
        json.member("phase", service.upgrade.phase?.rawValue)
        write(standing.tenure, to: &json)
        json.member(
            "probation_milliseconds_left",
            service.probationEnds.map { $0.since(service.supervisor.freshNow()).milliseconds })
        json.member("message_in_hand", service.inHand?.message)
        json.member("durability", service.durability.rawValue)
        json.member("appended", service.mailbox.appended.value)
        json.member("settled", standing.settled.value)
        json.member("waiting", service.mailbox.unsettledCount)
        json.member("dead_letters", standing.deadLetters.count)
        json.member("ids", standing.ids.count)
        json.member("restarts", service.restarts)
        json.member("upgrades", standing.upgrades)
        json.member("connections", service.connectionCount)
        json.member("mailbox_bytes", service.mailbox.byteCount)
        json.member("disk_version_differs", service.diskDiffers)
        if let verdict = service.lastVerdict {
            json.object("last_upgrade") { write(verdict, to: &$0) }
        } else {
            json.null("last_upgrade")
        }
        json.array("images") { json in
            for image in service.ownImages { json.object { write(image, to: &$0) } }
        }
    }

    private static func write(_ tenure: MailboxMachine.Tenure, to json: inout JSONText) {
        let word: String?
        let confirmed: MailboxMachine.Release?
        switch tenure {
        case .none: (word, confirmed) = (nil, nil)
        case .confirmed(let release): (word, confirmed) = ("confirmed", release)
        case .provisional(_, let fallback): (word, confirmed) = ("provisional", fallback.release)
        }
        json.member("release", word)
        json.member("confirmed_version", confirmed?.version)
        json.member("confirmed_digest", confirmed.map { "\($0.digest)" })
    }

    private static func write(_ image: Service.OwnImage, to json: inout JSONText) {
        json.member("role", image.role.rawValue)
        json.member("version", image.version)
        json.member("digest", "\(image.digest)")
        json.member(
            "at",
            image.past.flatMap { $0.at == 0 ? nil : "\(Timestamp(milliseconds: $0.at))" })
        json.member("cause", image.past?.cause.name)
    }

    private static func write(
        outOfService name: ServiceName, _ outage: Outage, to json: inout JSONText
    ) {
        json.member("name", name.text)
        json.member("state", outage.stateText)
        json.member("reason", outage.reason)
        for key in [
            "version", "digest", "pid", "old_version", "old_digest", "old_pid", "phase", "release",
            "confirmed_version", "confirmed_digest", "probation_milliseconds_left",
            "message_in_hand",
        ] { json.null(key) }
        json.member("durability", "commit")
        for key in [
            "appended", "settled", "waiting", "dead_letters", "ids", "restarts", "upgrades",
            "connections",
            "mailbox_bytes",
        ] { json.member(key, 0) }
        json.member("disk_version_differs", false)
        json.null("last_upgrade")
        json.array("images") { _ in }
    }

    private static func write(_ verdict: Verdict, to json: inout JSONText) {
        let word =
            switch verdict.outcome {
            case .started: "started"
            case .current: "current"
            case .upgraded: "upgraded"
            case .refused: "refused"
            case .rolledBack: "rolled_back"
            case .removed: "removed"
            case .wouldStart: "would_start"
            case .wouldUpgrade: "would_upgrade"
            case .wouldRemove: "would_remove"
            }
        json.member("service", verdict.service.text)
        json.member("verdict", word)
        json.member("from", verdict.from)
        json.member("to", verdict.to)
        json.member("digest", verdict.digest.map { "\($0)" })
        json.member("pause_microseconds", verdict.pause?.microseconds)
        json.member("total_microseconds", verdict.total.microseconds)
        json.member("switch_sequence", verdict.switchedAfter?.value)
        json.member("phase", verdict.refusedIn?.rawValue)
        json.member("reason", verdict.cause)
        json.member("kept", verdict.kept)
        json.member(
            "release", verdict.isConfirmed.map { $0 ? "confirmed" : "provisional" })
        json.member("rehearsed", verdict.rehearsal?.messages)
        json.member("differences", verdict.rehearsal?.differences)
    }
}

extension Verdict {
    /// Messages that wait in the mailbox of a service that was removed.
    fileprivate var kept: UInt64? {
        if case .removed(let kept) = outcome { kept } else { nil }
    }
}

extension MailboxMachine.Cause {
    var name: String {
        switch self {
        case .upgrade: "upgrade"
        case .rollback: "rollback"
        case .byHand: "rollback by hand"
        case .boot: "reboot before it was confirmed"
        case .recovery: "its state's checkpoint was damaged"
        }
    }
}

extension Supervisor {
    var stateText: String {
        switch shutdown {
        case .running:
            if readOnlyReason != nil {
                "read_only"
            } else {
                reload.isIdle ? "running" : "reloading"
            }
        case .suspending, .releasing, .closing, .finished: "stopping"
        }
    }

    /// Upgrades that `STATUS=` names.
    private static let upgradesTold = 3

    /// For `STATUS=`: `3 services, upgrading counter 2 → 3`.
    var summary: String {
        var text = services.count == 1 ? "1 service" : "\(services.count) services"
        let stopped = services.values.filter {
            if case .stopped = $0.condition { true } else { false }
        }
        if !stopped.isEmpty { text += ", \(stopped.count) stopped" }
        let quarantined = outages.values.count { $0.stateText == "quarantined" }
        if quarantined > 0 { text += ", \(quarantined) quarantined" }
        let withoutRoom =
            outages.count - quarantined + services.values.count { $0.lackOfRoom != nil }
        if withoutRoom > 0, readOnlyReason == nil { text += ", \(withoutRoom) without room" }
        if let readOnlyReason { text = "read-only: \(readOnlyReason)" }
        let upgrading = services.values.filter { $0.attempt?.fromVersion != nil }
        for service in upgrading.sorted(by: { $0.name < $1.name }).prefix(Self.upgradesTold) {
            let from = service.attempt?.fromVersion ?? "none"
            text += ", upgrading \(service.name) \(from) → \(service.candidate?.version ?? "?")"
        }
        let more = upgrading.count - Self.upgradesTold
        if more > 0 { text += ", and \(more) more" }
        if let last = lastSummary { text += "; \(last)" }
        return text
    }
}

extension Service {
    var stateText: String {
        if removal != nil { return "removing" }
        if attempt != nil, currentImage != nil, upgrade.state != .idle { return "upgrading" }
        switch condition {
        case .starting: return "starting"
        case .restarting: return "restarting"
        case .stopped: return "stopped"
        case .serving:
            if isHeld { return "suspended" }
            switch current?.machine.state {
            case .running, .ready, .suspending, .replaying: return "running"
            case nil, .loading, .starting, .ending: return "restarting"
            }
        }
    }

    var reasonText: String? {
        if case .stopped(let reason) = condition {
            reason
        } else {
            lackOfRoom.map { "\(StoreError.noRoom($0.what))" }
        }
    }
}
