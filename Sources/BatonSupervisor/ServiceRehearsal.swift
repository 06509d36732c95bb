// The rehearsal: before anything is suspended, a candidate handles the last settled messages in the
// shadow, from the state that was before them, and its replies are compared with those that were
// given. Its host is ended afterwards; the upgrade goes on with another. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore

struct Rehearsal {
    /// The message before the first.
    let after: SequenceNumber
    let recorded: [OutcomeHistory.Recorded]
    /// The first one that is compared.
    let first: Int
    let allowed: Int
    private(set) var messages = 0
    private(set) var differences = 0
    /// The first few, in words.
    private(set) var examples: [String] = []

    init(_ excerpt: OutcomeHistory.Excerpt, allowed: Int) {
        after = excerpt.settled
        recorded = excerpt.replies
        first = excerpt.firstWanted
        self.allowed = allowed
    }

    mutating func compare(
        _ kind: OutcomeKind, _ sequence: UInt64, _ payload: UnsafeRawBufferPointer
    ) {
        let index = sequence &- after.value &- 1
        guard index >= UInt64(first), index < UInt64(recorded.count) else { return }
        let then = recorded[Int(index)]
        let now: OutcomeHistory.Recorded
        switch kind {
        case .reply: now = unsafe .reply(Array(payload))
        case .failure: now = unsafe .failure(Array(payload))
        case .largeReply: now = .unknown
        case .passed, .skip, .state, .largeState: return
        }
        guard then != .unknown else { return }
        messages += 1
        guard then != now else { return }
        differences += 1
        if examples.count < 3 {
            examples.append("message \(sequence): \(Self.text(then)) became \(Self.text(now))")
        }
    }

    private static func text(_ recorded: OutcomeHistory.Recorded) -> String {
        switch recorded {
        case .reply(let bytes): quoted(bytes)
        case .failure(let bytes): "the error \(quoted(bytes))"
        case .unknown: "a large reply"
        case .passed: "none"
        }
    }

    private static func quoted(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes.prefix(40), as: UTF8.self)
        let printable = text.unicodeScalars.map {
            $0.properties.generalCategory == .control ? " " : String($0)
        }
        return "'\(printable.joined())\(bytes.count > 40 ? "…" : "")'"
    }

    var verdict: Verdict.Rehearsal {
        Verdict.Rehearsal(messages: messages, differences: differences)
    }

    /// Why the candidate is refused, if it is.
    var fault: String? {
        guard differences > allowed else { return nil }
        return "\(differences) of \(messages) replies differ (\(allowed) may): "
            + examples.joined(separator: "; ")
    }
}

extension Service {
    private var limits: Limits { supervisor.configuration.limits }

    /// How many messages an upgrade is to rehearse.
    func rehearsalCount(_ request: UpgradeRequest) -> Int { request.rehearse ?? settings.rehearse }

    func rehearse() {
        guard let attempt else { return }
        let excerpt = current.flatMap {
            history.excerpt(
                rehearsalCount(attempt.request), $0.ring, taken: $0.reader.position,
                settled: mailbox.standing.settled, oldest: mailbox.oldestKept)
        }
        guard let excerpt else {
            // Nothing has been handled since its host was started.
            self.attempt?.rehearsal = Verdict.Rehearsal(messages: 0, differences: 0)
            return perform(upgrade.rehearsed())
        }
        replay = Replay(
            cursor: excerpt.settled,
            through: excerpt.settled.advanced(by: UInt64(excerpt.replies.count)),
            state: excerpt.state, passed: excerpt.passed,
            rehearsal: Rehearsal(
                excerpt, allowed: attempt.request.allowed ?? settings.rehearseAllow))
        mailbox.keepFrom = excerpt.settled
        emit(.prepare, digest: attempt.image.digest, cause: "rehearsal")
        do throws(SystemError) { candidate = try spawn(attempt.image) } catch {
            replay = nil
            return perform(upgrade.failed("a host cannot be started: \(error)"))
        }
        expect(within: limits.prepareTimeout)
    }

    /// The candidate has the state from before; now the messages.
    func candidateTookState(toRehearse candidate: HostProcess) {
        replay(to: candidate)
    }

    func endRehearsal() {
        guard let rehearsal = replay?.rehearsal else { return }
        attempt?.rehearsal = rehearsal.verdict
        endShadow()
        if let fault = rehearsal.fault {
            perform(upgrade.candidateFailed(fault))
        } else {
            perform(upgrade.rehearsed())
        }
    }

    /// It has played its part: the upgrade's candidate is another process.
    private func endShadow() {
        cancelDeadline()
        replay = nil
        mailbox.keepFrom = nil
        guard let shadow = candidate else { return }
        candidate = nil
        shadow.kill("its rehearsal is over")
    }
}
