// A client that gives each message an id and sends it again until it has an answer, over as many
// connections as that takes; and at times when it has one already: then the same must come. All its
// connections are one sender. Runs in the simulator.
//
// It has one message without an answer at a time, so that what it sends again is never overtaken.

import BatonCore
import BatonSupervisor
import Glibc

final class RepeatingClient {
    private unowned let simulation: Simulation
    private var dice: Dice { simulation.dice }
    private let services: [Scenario.Busy]
    private let sender: Int

    private struct Letter {
        var id: MessageID
        var service: String
        var bytes: [UInt8]
        var answer: ReplyStream.Answer?
    }
    /// All it has sent, the last one perhaps without an answer.
    private var letters: [Letter] = []
    /// On this connection, of which letters answers are due; `nil` for what is said in greeting.
    private var awaited: [Int?] = []
    private var left: Int
    /// Letters it still sends again though it has their answers.
    private var repeatsLeft: Int
    private(set) var socket: ClientSocket?
    private var wakeAt: Moment
    private var readAt: Moment?
    private var waitsSince: Moment

    init(_ simulation: Simulation, services: [Scenario.Busy]) {
        self.simulation = simulation
        self.services = services
        sender = simulation.nextSender()
        left = simulation.dice.number(3...40)
        repeatsLeft = simulation.dice.number(0...10)
        wakeAt = simulation.now.advanced(by: simulation.dice.milliseconds(0...50))
        waitsSince = simulation.now
    }

    /// Each of its letters has its answer.
    var isDone: Bool { left == 0 && awaited.isEmpty && letters.last?.answer != nil }
    var dueAt: Moment { min(wakeAt, readAt ?? .distantFuture) }

    /// The letter that waits, and since when.
    var oldest: (id: MessageID, waits: Moment.Span)? {
        guard let last = letters.last, last.answer == nil else { return nil }
        return (last.id, simulation.now.since(waitsSince))
    }

    func isReadable() {
        guard readAt == nil else { return }
        readAt = simulation.now.advanced(by: dice.microseconds(0...200))
    }

    func step() {
        if let at = readAt, at <= simulation.now {
            readAt = nil
            return receive()
        }
        wakeAt = simulation.now.advanced(
            by: dice.chance(1, in: 8) ? dice.milliseconds(1...2000) : dice.microseconds(10...5000))
        guard let socket else { return connect() }
        socket.sendMore()
        move()
    }

    private func connect() {
        guard left > 0 || letters.last?.answer == nil else { return wakeAt = .distantFuture }
        socket = ClientSocket(path: "\(simulation.places.runtime)/baton.sock", isRESP: true)
        guard let socket else { return }
        socket.send(ReplyStream.command(["CLIENT", "SETNAME", "repeating"].map { Array($0.utf8) }))
        awaited = [nil]
        if letters.last?.answer == nil, !letters.isEmpty { send(letters.count - 1) }
    }

    private func move() {
        guard awaited.count < 20 else { return }
        if dice.chance(1, in: 30), !simulation.faults.isCalm { return hangUp() }
        if let last = letters.last, last.answer == nil {
            let isDue = awaited.contains(letters.count - 1)
            if !isDue || dice.chance(1, in: 6) { send(letters.count - 1) }
        } else if left > 0 {
            write()
        } else if repeatsLeft > 0, !letters.isEmpty {
            repeatsLeft -= 1
            send(dice.number(0...letters.count - 1))
        } else {
            wakeAt = .distantFuture
        }
    }

    private func write() {
        left -= 1
        let service = dice.pick(services)
        let id = MessageID(sender: sender, count: letters.count + 1)
        let message = simulation.scenario.message(id, service.versions, dice)
        simulation.ledger.sent(
            message, to: service.name, at: simulation.now, isSynced: true)
        letters.append(Letter(id: id, service: service.name, bytes: message.bytes))
        waitsSince = simulation.now
        send(letters.count - 1)
        if dice.chance(1, in: 10), letters.count > 1 { send(dice.number(0...letters.count - 2)) }
    }

    private func send(_ index: Int) {
        let letter = letters[index]
        var id = "\(letter.id)"
        if simulation.isMutant(.repeatsUnderAnotherID) { id += " at \(simulation.now.nanoseconds)" }
        awaited.append(index)
        socket?.send(
            ReplyStream.command(
                [Array("CALL".utf8), Array(letter.service.utf8), letter.bytes, Array("ID".utf8)]
                    + [Array(id.utf8)]))
    }

    // MARK: What comes

    func receive() {
        guard let socket else { return }
        let isOpen = socket.receive()
        while let answer = socket.answers.next() {
            guard !awaited.isEmpty else {
                return simulation.fail("one was answered what he never asked: \(answer)")
            }
            if let index = awaited.removeFirst() { take(answer, to: index) }
            if simulation.hasFailed { return }
        }
        if !isOpen { lose() }
    }

    private func take(_ answer: ReplyStream.Answer, to index: Int) {
        let letter = letters[index]
        if let first = letter.answer {
            // Where the service is away, nothing is said of what it knows.
            guard answer != first, !isPutOff(answer) else { return }
            return simulation.fail("\(letter.id) was answered \(first), and then \(answer)")
        }
        guard !isPutOff(answer) else { return }
        letters[index].answer = answer
        if let problem = learn(answer, letter) { simulation.fail(problem) }
    }

    /// Not now: it is sent again later.
    private func isPutOff(_ answer: ReplyStream.Answer) -> Bool {
        guard case .error(let text) = answer else { return false }
        return ["BUSY", "READONLY", "NOSERVICE", "UNAVAILABLE"].contains {
            text.hasPrefix("\($0) ")
        }
    }

    private func learn(_ answer: ReplyStream.Answer, _ letter: Letter) -> String? {
        switch answer {
        case .integer: return "the answer to \(letter.id) is of the wrong kind: \(answer)"
        case .line(let bytes):
            guard let reply = ModelReply(bytes), reply.id == letter.id else {
                return "the reply to \(letter.id) is "
                    + "'\(String(decoding: bytes.prefix(60), as: UTF8.self))'"
            }
            simulation.ledger.answered(letter.id, by: reply.version)
            return simulation.ledger.learned(letter.id, .answered(place: reply.place))
        case .error(let text):
            if text.hasPrefix("FAILED ") { return simulation.ledger.learned(letter.id, .failed) }
            if text.hasPrefix("POISON ") { return simulation.ledger.learned(letter.id, .poisoned) }
            return "\(letter.id) was told: \(text)"
        }
    }

    // MARK: Its connection's end

    private func hangUp() {
        receive()
        lose()
    }

    func lose() {
        socket = nil
        awaited = []
        wakeAt = simulation.now.advanced(by: dice.milliseconds(1...300))
    }
}
