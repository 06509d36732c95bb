// What happens to a service or to batond, as one thing that the log, the journal and subscribers
// (`baton events`) are told. Pure: BatonSupervisor/Events.swift tells it.

package struct Event: Equatable, Sendable {
    package var kind: Kind
    /// `nil` for what concerns batond as a whole.
    package var service: ServiceName?
    /// Versions: the one before and the one after, where there are such.
    package var from: String?
    package var to: String?
    package var digest: ImageDigest?
    /// Why, in words.
    package var cause: String?
    /// The process of the host.
    package var pid: Int32?
    /// The number of a message: the last of the version before, the one in hand, a dead letter.
    package var message: UInt64?
    /// How long it took: of a phase, its time; of `upgraded` and `rolled_back`, the pause; of
    /// `restarting`, the wait.
    package var duration: Moment.Span?
    /// The phase in which something was refused. A phase's own event has it by itself.
    package var refusedIn: Phase?

    package init(
        _ kind: Kind, service: ServiceName? = nil, from: String? = nil, to: String? = nil,
        digest: ImageDigest? = nil, cause: String? = nil, pid: Int32? = nil,
        message: UInt64? = nil, duration: Moment.Span? = nil, refusedIn: Phase? = nil
    ) {
        self.kind = kind
        self.service = service
        self.from = from
        self.to = to
        self.digest = digest
        self.cause = cause
        self.pid = pid
        self.message = message
        self.duration = duration
        self.refusedIn = refusedIn
    }

    /// The phase that it belongs to, by its name.
    package var phase: String? { kind.isPhase ? kind.rawValue : refusedIn?.rawValue }

    /// The raw value is the name in events, in the journal's BATON_EVENT and in `baton events`.
    package enum Kind: String, CaseIterable, Sendable {
        // The phases of an upgrade.
        case prepare, suspend, purge, load, resume
        // What came of it.
        case refused, upgraded, started
        case rolledBack = "rolled_back"
        case confirmed
        // Hosts.
        case hostEnded = "host_ended"
        case restarting, stopped
        // Messages.
        case deadLetter = "dead_letter"
        case redelivered, discarded
        // Services, and batond itself.
        case quarantined, added, removed, reloaded, ready, stopping
        // The disk.
        case diskLow = "disk_low"
        case readOnly = "read_only"
        case writable
        case slowSync = "slow_sync"
    }
}

extension Event.Kind {
    package var isPhase: Bool {
        switch self {
        case .prepare, .suspend, .purge, .load, .resume: true
        case .refused, .upgraded, .started, .rolledBack, .confirmed, .hostEnded, .restarting,
            .stopped, .deadLetter, .redelivered, .discarded, .quarantined, .added, .removed,
            .reloaded, .ready, .stopping, .diskLow, .readOnly, .writable, .slowSync:
            false
        }
    }

    /// How much an operator should care.
    package enum Weight: Sendable { case phase, notable, warning, error, critical }

    package var weight: Weight {
        switch self {
        case .prepare, .suspend, .purge, .load, .resume: .phase
        case .upgraded, .started, .confirmed, .restarting, .redelivered, .discarded, .added,
            .removed, .reloaded, .ready, .stopping, .writable:
            .notable
        case .hostEnded, .diskLow, .slowSync: .warning
        case .refused, .rolledBack, .stopped: .error
        case .deadLetter, .quarantined, .readOnly: .critical
        }
    }

    /// The journal's MESSAGE_ID: fixed for ever, so that `journalctl MESSAGE_ID=...` finds it.
    /// EVENTS.md has the table.
    package var messageID: String {
        switch self {
        case .prepare: "c174723a68a6413aaddc19d08e922c04"
        case .suspend: "8f1b5e3f556e41ada56567cfab9bdb3b"
        case .purge: "1096ffd7be20484a8b1ce7cdcdff0fe2"
        case .load: "2476d53e52cd48fcade6c09079cbfe33"
        case .resume: "d4c4481c016740a9934dc58ec082f444"
        case .refused: "a5d93b3a789b4fe09191450b679259e2"
        case .upgraded: "98dc009236714c6ab87ae32e8441c0eb"
        case .started: "c441cc601c82464fa7870f69bb9d1cb2"
        case .rolledBack: "132537e6ff594938962d0febf35bd91f"
        case .confirmed: "cf68d69ba4df476d841bf36409e3dbe5"
        case .hostEnded: "cfa21d349a674d38bab71b8db899e6ce"
        case .restarting: "f4da16b6427a49b79e0060f55397b438"
        case .stopped: "6dc24975466b48e79ec3e050b70748e3"
        case .deadLetter: "78c803de5020459b8803608d2eac6413"
        case .redelivered: "70dfab3322dc49268daf970bebbcce41"
        case .discarded: "0c39b155dc4b47ac9fe03ce6eafce9c5"
        case .quarantined: "f3804a67eb5b4d36a6db921b85176103"
        case .added: "3ec8fbdd9750449dbb55fb8b10809732"
        case .removed: "09689e19b4144521b0be25621d9cca96"
        case .reloaded: "d2211985945f4f0b9f6d87c73f5d2349"
        case .ready: "7c1d1c21e62f49e79bb9105406a19074"
        case .stopping: "6941705df4ad4573bef9c5786be99d04"
        case .diskLow: "e0a7a1c3b5d94f6c9d0c4f8f6d1b2a37"
        case .readOnly: "b7b2c6d0f1e84b36a2c85d9e07f31a64"
        case .writable: "5c1d9e72a4f0463db8e6217f0a9b3c58"
        case .slowSync: "93f4e8b61c2d4a07bd5e8a1f6c709e2b"
        }
    }
}

extension Event {
    /// One line for people; without the service's name, which stands before it.
    package var text: String {
        switch kind {
        case .prepare, .suspend, .purge, .load, .resume:
            return kind.rawValue + part(" ", change) + part(" after ", duration) + part(": ", cause)
        case .refused:
            return "refused" + part(" in ", phase) + part(": ", cause) + part("; stays at ", from)
        case .upgraded:
            return "upgraded" + part(" ", change) + part(" after message ", message)
                + part(", paused ", duration) + part(", ", cause)
        case .rolledBack:
            return "rolled back" + part(" ", change) + part(" after message ", message)
                + part(", paused ", duration) + part(": ", cause)
        case .started, .confirmed, .added, .removed:
            return kind.rawValue + part(" ", to ?? from) + part(": ", cause)
        case .hostEnded:
            return "host ended" + part(": ", cause) + part("; in hand: message ", message)
        case .restarting:
            let wait = duration == .milliseconds(0) ? " at once" : part(" in ", duration)
            return "its host is started again" + wait + part(": ", cause)
        case .deadLetter: return "message" + part(" ", message) + " set aside" + part(": ", cause)
        case .redelivered, .discarded:
            return "dead letter" + part(" ", message) + " \(kind.rawValue)" + part(": ", cause)
        case .stopped, .quarantined, .reloaded, .ready, .stopping:
            return kind.rawValue + part(": ", cause)
        case .diskLow: return "the disk is nearly full" + part(": ", cause)
        case .readOnly: return "read-only: new messages are refused" + part(": ", cause)
        case .writable: return "there is room: messages are taken again"
        case .slowSync:
            return "the disk is slow: a sync has been taking" + part(" ", duration)
                + part("; ", cause)
        }
    }

    /// `1 → 2`
    private var change: String? {
        guard let from, let to else { return to ?? from }
        return "\(from) → \(to)"
    }

    private func part(_ words: String, _ value: (some CustomStringConvertible)?) -> String {
        value.map { "\(words)\($0)" } ?? ""
    }
}
