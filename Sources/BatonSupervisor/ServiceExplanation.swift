// What a service is doing, in sentences, for the operator who wonders. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux

extension Service {
    /// The message that the host in charge is handling, and for how long.
    var inHand: (message: UInt64, since: Moment.Span)? {
        guard let host = current, host.machine.isInCharge else { return nil }
        let sequence = host.ring.load(.inHand)
        guard sequence > mailbox.standing.settled.value, sequence <= mailbox.appended.value else {
            return nil
        }
        return (sequence, supervisor.ground.age(ofCycles: host.ring.load(.inHandSince)))
    }

    /// What the current host is doing, for a refusal.
    var busyText: String {
        guard current?.machine.isInCharge == true else { return "nothing is in hand" }
        guard let (message, since) = inHand else { return "its host does not answer" }
        return "message \(message) has been handled for \(since)"
    }

    var explanation: Explanation {
        var explanation = whatItDoes
        explanation.lines += notes
        return explanation
    }

    private var whatItDoes: Explanation {
        if removal != nil {
            let inHand = inHand
            return Explanation(
                doing: "its file is gone, and it is being removed",
                waitsFor: attempt != nil
                    ? "the end of its upgrade"
                    : "\(mailbox.unsettledCount) messages to be handled, and its hosts to end",
                message: inHand?.message, since: inHand?.since)
        }
        switch condition {
        case .starting:
            return Explanation(doing: "it starts", waitsFor: "its first version to be ready")
        case .restarting:
            return Explanation(
                doing: "its host died and is started again",
                waitsFor: "the time that lies between two starts")
        case .stopped(let reason):
            return Explanation(
                doing: "it is stopped: \(reason)",
                waitsFor: "'baton resume \(name)', or new code and 'baton reload'")
        case .serving: break
        }
        if attempt != nil, upgrade.state != .idle { return whatTheUpgradeDoes }
        if isHeld, let (message, since) = inHand {
            return Explanation(
                doing: "it is being suspended by hand, and finishes message \(message)",
                waitsFor: "the plugin's 'handle' to return", message: message, since: since)
        }
        if isHeld {
            return Explanation(
                doing: "it is suspended by hand", waitsFor: "'baton resume \(name)'")
        }
        if let explanation = whatItsStateWaitsFor { return explanation }
        switch current?.machine.state {
        case nil, .ending:
            return Explanation(doing: "its host ends", waitsFor: "that end; then another starts")
        case .loading, .starting:
            return Explanation(
                doing: "its host is being started", waitsFor: "its constructors and 'start'")
        case .ready, .replaying:
            return Explanation(doing: "its host is ready", waitsFor: "to be given the cursor")
        case .running, .suspending:
            guard let (message, since) = inHand else {
                return mailbox.unsettledCount == 0
                    ? Explanation(doing: "nothing: every message is handled", waitsFor: "messages")
                    : Explanation(doing: "it handles messages")
            }
            return Explanation(
                doing: "it handles message \(message)", waitsFor: "the plugin's 'handle' to return",
                message: message, since: since)
        }
    }

    private var whatItsStateWaitsFor: Explanation? {
        switch checkpoint {
        case .none, .written: nil
        case .waitingForSlot:
            Explanation(doing: "its state waits for a slot", waitsFor: "the next commit")
        case .writing: Explanation(doing: "its state is being written", waitsFor: "the disk")
        case .outcomesWaitForRoom:
            Explanation(
                doing: "there is no room on the disk for its outcomes, and they wait",
                waitsFor: "room on the disk; nothing is lost meanwhile")
        case .waitingForRoom:
            Explanation(
                doing: "there is no room on the disk for its state, and its outcomes wait",
                waitsFor: "room on the disk; nothing is lost meanwhile")
        }
    }

    private var whatTheUpgradeDoes: Explanation {
        let from = attempt?.fromVersion ?? "none"
        let to = attempt?.toVersion ?? candidate?.version ?? "the new image"
        let since = attempt.map { supervisor.freshNow().since($0.begun) }
        let text = "upgrading \(from) → \(to), \(upgrade.phase?.rawValue ?? "")"
        let waitsFor: String
        switch upgrade.state {
        case .idle: waitsFor = "nothing"
        case .rehearsing: waitsFor = "the candidate to rehearse the last messages"
        case .preparing(_, let missing):
            waitsFor =
                missing.contains(.candidate)
                ? "the candidate to load and start" : "its image to be durable"
        case .suspending: waitsFor = "the current version to finish: \(busyText)"
        case .loading: waitsFor = "the candidate to take the state"
        case .replaying:
            waitsFor =
                "\(to) to handle again what was settled since: "
                + "\(replay?.cursor.value ?? 0) of \(replay?.through.value ?? 0)"
        case .trying:
            waitsFor =
                "\(to) to handle message \(attempt?.suspect?.value ?? 0), which \(from) died of"
        case .switching: waitsFor = "the disk: the switch record is being synced"
        }
        return Explanation(doing: text, waitsFor: waitsFor, message: inHand?.message, since: since)
    }

    private var notes: [String] {
        var notes: [String] = []
        let standing = mailbox.standing
        if mailbox.unsettledCount > 0 { notes.append("\(mailbox.unsettledCount) messages wait") }
        if let fallback = standing.fallback {
            let left = probationEnds.map { $0.since(supervisor.freshNow()) }
            notes.append(
                "its release \(currentVersion ?? "") is provisional"
                    + (left.map { " for another \($0)" } ?? "")
                    + "; \(fallback.release.version) is confirmed, and is what a reboot would start"
            )
        }
        if !queue.isEmpty { notes.append("\(queue.count) more upgrades wait for this one") }
        if !standing.deadLetters.isEmpty {
            notes.append(
                "\(standing.deadLetters.count) dead letters: 'baton mailbox \(name) --dead'")
        }
        if !standing.attempts.isEmpty {
            let worst = standing.attempts.max { $0.value < $1.value }
            if let worst {
                notes.append(
                    "message \(worst.key) has killed its host \(worst.value) times")
            }
        }
        if waitsForRoom { notes.append("the disk is full: its outcomes cannot be kept") }
        if let last = lastVerdict { notes.append("last upgrade: \(last.summary)") }
        return notes
    }
}
