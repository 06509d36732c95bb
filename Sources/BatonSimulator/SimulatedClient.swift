// A client of services: sends messages, takes the replies in order, and is as patient, hasty or rude as
// the dice say. Each of its connections is a sender of its own. Runs in the simulator.

import BatonCore
import BatonSupervisor
import Glibc

final class SimulatedClient {
    private struct Awaited {
        var id: MessageID
        var isReceipt: Bool
        var sentAt: Moment
    }

    private unowned let simulation: Simulation
    private var dice: Dice { simulation.dice }
    /// On a line socket it has one service, on baton.sock all of these.
    let services: [Scenario.Busy]
    private let isRESP: Bool
    /// The neighbour's client, which is always answered soon.
    private(set) var isProbe: Bool
    /// It only calls, and with messages that have nothing to them.
    private let isPlain: Bool

    private(set) var socket: ClientSocket?
    private var sender = 0
    private var sentCount = 0
    private var awaited: [Awaited] = []
    /// Messages it still wants to send.
    private(set) var left: Int
    private var hasEndedSending = false
    private var readsAgainAt: Moment?
    private var wakeAt: Moment
    private var readAt: Moment?

    /// - Parameter calls: so many plain ones, and nothing else.
    init(
        _ simulation: Simulation, services: [Scenario.Busy], isProbe: Bool = false,
        calls: Int? = nil
    ) {
        self.simulation = simulation
        self.services = services
        self.isProbe = isProbe
        isRESP = services.count > 1 || simulation.dice.chance(1, in: 2)
        isPlain = isProbe || calls != nil
        left = isProbe ? 0 : calls ?? simulation.dice.number(simulation.scenario.messages)
        wakeAt = simulation.now.advanced(by: simulation.dice.milliseconds(0...50))
    }

    /// It has sent what it wanted to and knows what became of it.
    var isDone: Bool { left == 0 && awaited.isEmpty }
    var reads: Bool { socket != nil && readsAgainAt.map { $0 <= simulation.now } ?? true }

    /// From here on it behaves.
    func calm() {
        readsAgainAt = nil
        isReadable()
    }

    /// It asks no more.
    func retire() { isProbe = false }

    // MARK: Its moves

    var dueAt: Moment { min(wakeAt, readAt ?? .distantFuture) }

    /// Something has come: it reads soon.
    func isReadable() {
        guard readAt == nil else { return }
        readAt = simulation.now.advanced(by: dice.microseconds(0...200))
    }

    func step() {
        if let at = readAt, at <= simulation.now {
            readAt = nil
            if reads { receive() }
            return
        }
        guard let socket else { return connect() }
        socket.sendMore()
        checkPatience(longestWait)
        if self.socket != nil { move() }
        think()
    }

    /// The neighbour's client waits for nobody else's trouble, only for the disk.
    private func checkPatience(_ waited: Moment.Span) {
        guard isProbe, waited > simulation.faults.patience else { return }
        simulation.fail("the neighbour has not answered for \(waited)")
    }

    private func think() {
        guard left > 0 || isProbe else {
            // What it still waits for comes by itself.
            return wakeAt =
                socket?.hasUnsent == true || readsAgainAt != nil
                ? simulation.now.advanced(by: .milliseconds(20)) : .distantFuture
        }
        let span =
            switch isProbe ? -1 : dice.number(0...19) {
            case -1: dice.milliseconds(300...2500)
            case 0: dice.milliseconds(500...6000)
            case 1..<6: dice.milliseconds(5...200)
            default: dice.microseconds(10...3000)
            }
        wakeAt = simulation.now.advanced(by: span)
    }

    private func connect() {
        wakeAt = simulation.now.advanced(by: dice.milliseconds(1...100))
        guard left > 0 || isProbe else { return wakeAt = .distantFuture }
        let path = isRESP ? "baton.sock" : "services/\(services[0].name).sock"
        socket = ClientSocket(path: "\(simulation.places.runtime)/\(path)", isRESP: isRESP)
        sender = simulation.nextSender()
        sentCount = 0
        hasEndedSending = false
    }

    private func move() {
        if isProbe { return sendOne() }
        guard left > 0, !hasEndedSending else { return }
        if isPlain { return sendOne() }
        switch dice.number(0...99) {
        case 0 where !simulation.faults.isCalm:
            // Half a message, and gone.
            socket?.send(isRESP ? Array("*3\r\n$4\r\nCAL".utf8) : Array("12345".utf8))
            hangUp()
        case 1 where !simulation.faults.isCalm: hangUp()
        case 2 where !simulation.faults.isCalm:
            readsAgainAt = simulation.now.advanced(by: dice.milliseconds(10...20_000))
        case 3, 4:
            hasEndedSending = true
            socket?.endSending()
        default:
            for _ in 0..<min(left, dice.pick([1, 1, 1, 2, 5, 20])) { sendOne() }
        }
    }

    private func sendOne() {
        guard let socket, awaited.count < 200 else { return }
        sentCount += 1
        left = max(0, left - 1)
        let service = services.count == 1 ? services[0] : dice.pick(services)
        let id = MessageID(sender: sender, count: sentCount)
        let message =
            isPlain ? ModelMessage(id: id) : simulation.scenario.message(id, service.versions, dice)
        let isReceipt = isRESP && !isPlain && dice.chance(1, in: 3)
        simulation.ledger.sent(
            message, to: service.name, at: simulation.now,
            isSynced: service.durability == .commit)
        awaited.append(Awaited(id: id, isReceipt: isReceipt, sentAt: simulation.now))
        if isRESP {
            let verb = isReceipt ? "SEND" : "CALL"
            socket.send(
                ReplyStream.command([Array(verb.utf8), Array(service.name.utf8), message.bytes]))
        } else {
            socket.send(message.bytes + [10])
        }
    }

    // MARK: What comes

    /// Something can be read.
    func receive() {
        guard let socket else { return }
        let isOpen = socket.receive()
        while let answer = socket.answers.next() {
            take(answer)
            if simulation.hasFailed { return }
        }
        if !isOpen { lose() }
    }

    private func take(_ answer: ReplyStream.Answer) {
        guard !awaited.isEmpty else {
            return simulation.fail("a client was answered what it never asked: \(answer)")
        }
        let asked = awaited.removeFirst()
        checkPatience(simulation.now.since(asked.sentAt))
        let knowledge: Ledger.Knowledge
        switch answer {
        case .integer where asked.isReceipt: knowledge = .received
        case .line(let bytes) where !asked.isReceipt:
            guard let reply = ModelReply(bytes), reply.id == asked.id else {
                let text = String(decoding: bytes.prefix(60), as: UTF8.self)
                return simulation.fail("the reply to \(asked.id) is '\(text)'")
            }
            knowledge = .answered(place: reply.place)
            simulation.ledger.answered(asked.id, by: reply.version)
            checkVersion(reply, asked)
        case .error(let text): knowledge = self.knowledge(text)
        case .integer, .line:
            return simulation.fail("the answer to \(asked.id) is of the wrong kind: \(answer)")
        }
        if let problem = simulation.ledger.learned(asked.id, knowledge) {
            simulation.fail(problem)
        }
    }

    /// Who has answered is who the events say is current.
    private func checkVersion(_ reply: ModelReply, _ asked: Awaited) {
        guard let watcher = simulation.watcher,
            let service = simulation.ledger.service(of: asked.id),
            !watcher.allows(service, reply.version, sentAt: asked.sentAt)
        else { return }
        simulation.fail("\(asked.id) was answered by \(reply.version), which is not current")
    }

    private func knowledge(_ error: String) -> Ledger.Knowledge {
        switch error.prefix(while: { $0 != " " }) {
        case "FAILED": .failed
        case "POISON": .poisoned
        case "BUSY", "READONLY", "NOSERVICE": .refused
        // Kept, and handled some time.
        case "UNAVAILABLE": .lost
        default:
            {
                simulation.fail("a client was told: \(error)")
                return .lost
            }()
        }
    }

    // MARK: Its end

    private func hangUp() {
        // It has read what was there.
        receive()
        lose()
    }

    /// The connection has ended.
    func lose() {
        socket = nil
        readsAgainAt = nil
        for asked in awaited {
            if let problem = simulation.ledger.learned(asked.id, .lost) { simulation.fail(problem) }
        }
        awaited = []
        wakeAt = simulation.now.advanced(by: dice.milliseconds(1...300))
        if left == 0, !isProbe { wakeAt = .distantFuture }
    }

    /// How long it has waited for the oldest answer.
    var longestWait: Moment.Span {
        awaited.first.map { simulation.now.since($0.sentAt) } ?? .milliseconds(0)
    }
    var oldest: MessageID? { awaited.first?.id }
}
