// What everybody was told, and what therefore must hold: the five promises of FAILURES.md as checks.
// Runs in the simulator.

import BatonCore

final class Ledger {
    /// What the sender of a message knows of it.
    enum Knowledge: Equatable {
        /// Sent; no answer yet.
        case nothing
        /// The connection has ended without an answer.
        case lost
        /// Its reply: where it stands in the state.
        case answered(place: Int)
        /// A receipt.
        case received
        /// The service has answered with an error.
        case failed
        case poisoned
        /// It was never accepted.
        case refused
    }

    struct Entry {
        var service: String
        var message: ModelMessage
        var knowledge = Knowledge.nothing
        var sentAt: Moment
        var wasWithoutSync: Bool
    }

    private(set) var entries: [MessageID: Entry] = [:]
    /// Over which messages hosts have died: of which versions.
    private var deaths: [MessageID: [String]] = [:]
    private let attempts: Int
    private var losing: Set<String> = []
    private var redelivering: Set<String> = []
    private(set) var answerCount = 0
    private var handled: Set<MessageID> = []

    /// Which version has answered last, by service.
    private(set) var versions: [String: String] = [:]

    init(attempts: Int) { self.attempts = attempts }

    // MARK: What happens

    func sent(_ message: ModelMessage, to service: String, at now: Moment, isSynced: Bool) {
        entries[message.id] = Entry(
            service: service, message: message, sentAt: now, wasWithoutSync: !isSynced)
    }

    func answered(_ id: MessageID, by version: String) {
        if let entry = entries[id] { versions[entry.service] = version }
    }

    /// - Returns: whether that was the first time.
    func handles(_ id: MessageID) -> Bool { handled.insert(id).inserted }

    func diedOver(_ id: MessageID, _ version: ModelVersion) {
        deaths[id, default: []].append(version.name)
    }

    func service(of id: MessageID) -> String? { entries[id]?.service }

    /// Dead letters of the service are put into its mailbox again, as new messages.
    func redelivers(_ service: String) { redelivering.insert(service) }

    /// Whether it may come a second time, at another place.
    private func mayBeRedelivered(_ id: MessageID) -> Bool {
        mayBeSetAside(id) && entries[id].map { redelivering.contains($0.service) } == true
    }

    /// Whether the message may be set aside: it has killed often enough, or two versions.
    private func mayBeSetAside(_ id: MessageID) -> Bool {
        let versions = deaths[id] ?? []
        return versions.count >= attempts || Set(versions).count >= 2
    }

    /// - Returns: what is wrong with the answer.
    func learned(_ id: MessageID, _ knowledge: Knowledge) -> String? {
        guard let entry = entries[id] else { return "an answer to \(id), which was never sent" }
        guard entry.knowledge == .nothing else {
            return "\(id) is \(knowledge) after it was \(entry.knowledge)"
        }
        switch knowledge {
        case .poisoned where !mayBeSetAside(id):
            return "\(id) is called poison, but only hosts of \(deaths[id] ?? []) died over it"
        case .answered where !entry.message.isKept: return "\(id) should have failed"
        case .failed where entry.message.isKept: return "\(id) should not have failed"
        case .nothing, .lost, .answered, .received, .failed, .poisoned, .refused: break
        }
        entries[id]?.knowledge = knowledge
        answerCount += 1
        return nil
    }

    /// The power was cut, and what was acknowledged without a sync is uncertain.
    func powerWasCut() {
        for (id, entry) in entries where entry.wasWithoutSync {
            entries[id]?.knowledge = .lost
            losing.insert(entry.service)
        }
    }

    /// Whether a power cut may have taken something of what the service has done.
    func mayLose(_ service: String) -> Bool { losing.contains(service) }

    // MARK: What must hold

    /// Whether a host may handle a message now.
    func problem(handling id: MessageID, in state: ModelState) -> String? {
        guard let entry = entries[id] else { return "\(id) is handled, and was never sent" }
        if mayBeRedelivered(id) { return nil }
        if state.messages.contains(id) { return "\(id) is handled twice" }
        if entry.knowledge == .refused { return "\(id) is handled after it was refused" }
        if entry.knowledge == .poisoned { return "\(id) is handled after it was called poison" }
        if let later = state.messages.last(where: { $0.sender == id.sender }), later > id {
            return "\(id) is handled after \(later) of the same sender"
        }
        return nil
    }

    /// - Parameter state: of `service`, after everything.
    /// - Parameter isDead: whether a message is known to be a dead letter.
    func problems(of service: String, _ state: ModelState) -> [String] {
        var problems: [String] = []
        var places: [MessageID: Int] = [:]
        var last: [Int: MessageID] = [:]
        for (place, id) in state.messages.enumerated() {
            if mayBeRedelivered(id) {
                places[id] = place
                continue
            }
            if places.updateValue(place, forKey: id) != nil {
                problems.append("\(id) is in the state twice")
            }
            if let before = last[id.sender], before > id {
                problems.append("\(id) follows \(before) of the same sender")
            }
            last[id.sender] = id
            if entries[id]?.service != service {
                problems.append("\(id) is in the state, and was not sent to \(service)")
            }
        }
        for (id, entry) in entries.sorted(by: { $0.key < $1.key }) where entry.service == service {
            if let problem = problem(id, entry, at: places[id]) {
                problems.append("\(problem) (state of \(state.messages.count))")
            }
        }
        return problems
    }

    private func problem(_ id: MessageID, _ entry: Entry, at place: Int?) -> String? {
        switch entry.knowledge {
        case .nothing: "\(id) was never answered"
        case .lost: nil
        case .answered(let said):
            place == said
                ? nil
                : "\(id) was answered at place \(said), and is at \(place.map(String.init) ?? "none")"
        case .received:
            place != nil || !entry.message.isKept || mayBeSetAside(id)
                ? nil : "\(id) was acknowledged, and is not in the state"
        case .failed: place == nil ? nil : "\(id) failed, and is in the state"
        case .poisoned:
            place == nil || mayBeRedelivered(id)
                ? nil : "\(id) was called poison, and is in the state"
        case .refused: place == nil ? nil : "\(id) was refused, and is in the state"
        }
    }

    var unanswered: [MessageID] {
        entries.filter { $0.value.knowledge == .nothing }.keys.sorted()
    }
}
