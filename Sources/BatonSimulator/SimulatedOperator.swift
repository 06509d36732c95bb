// Somebody at control.sock who upgrades, reloads, suspends, and waits for what he is told.
// Runs in the simulator.

import BatonCore
import BatonSupervisor
import Glibc

final class SimulatedOperator {
    enum Request: Equatable {
        case upgrade(service: String, to: ModelVersion, force: Bool)
        /// The file in the plugin directory is replaced first.
        case reload(service: String, to: ModelVersion)
        case suspend(service: String)
        case resume(service: String)
        case purge(service: String)
    }

    private unowned let simulation: Simulation
    private var dice: Dice { simulation.dice }
    private(set) var socket: ClientSocket?
    private(set) var awaited: [(request: Request, sentAt: Moment)] = []
    private(set) var left: Int
    private var wakeAt: Moment
    private var readAt: Moment?
    /// Brings sound versions, again and again; whether it has done so yet.
    private var mends = false
    private var isToMend = false

    init(_ simulation: Simulation) {
        self.simulation = simulation
        left = simulation.dice.number(simulation.scenario.requests)
        wakeAt = simulation.now.advanced(by: simulation.dice.milliseconds(0...3000))
    }

    var isDone: Bool { left == 0 && awaited.isEmpty && !isToMend }

    /// No more requests of its own; what an operator does who has been alerted.
    func calm(mends: Bool) {
        left = 0
        self.mends = mends
        isToMend = mends
        wakeAt = mends ? simulation.now : .distantFuture
    }

    var dueAt: Moment { min(wakeAt, readAt ?? .distantFuture) }

    func isReadable() {
        if readAt == nil { readAt = simulation.now.advanced(by: dice.microseconds(0...200)) }
    }

    func step() {
        if let at = readAt, at <= simulation.now {
            readAt = nil
            return receive()
        }
        if mends { return mend() }
        wakeAt =
            left > 0
            ? simulation.now.advanced(
                by: dice.chance(1, in: 3)
                    ? dice.microseconds(0...3000) : dice.milliseconds(1...9000))
            : .distantFuture
        guard left > 0 else { return }
        left -= 1
        let service = dice.pick(simulation.scenario.busy)
        let version = dice.pick(service.versions)
        switch dice.number(0...9) {
        case 0...4:
            ask(
                .upgrade(
                    service: service.name, to: version, force: dice.chance(1, in: 4)))
        case 5, 6: ask(.reload(service: service.name, to: version))
        case 7:
            ask(.suspend(service: service.name))
            if dice.chance(1, in: 2) { ask(.resume(service: service.name)) }
        case 8: ask(.resume(service: service.name))
        default: ask(.purge(service: service.name))
        }
    }

    private func mend() {
        isToMend = false
        wakeAt = simulation.now.advanced(by: .seconds(45))
        for busy in simulation.scenario.busy {
            guard let version = busy.versions.last else { continue }
            ask(.resume(service: busy.name))
            ask(.upgrade(service: busy.name, to: version, force: true))
        }
    }

    private func ask(_ request: Request) {
        if socket == nil {
            socket = ClientSocket(
                path: "\(simulation.places.runtime)/control.sock", isRESP: true)
        }
        // Nobody is there just now; what is not asked is not done.
        guard let socket else { return }
        simulation.note("asks \(request)")
        var words: [String]
        switch request {
        case .upgrade(let service, let version, let force):
            words = ["UPGRADE", service, "IMAGE", simulation.places.image(service, version)]
            if force { words.append("FORCE") }
        case .reload(let service, let version):
            simulation.places.install(version, service)
            words = ["RELOAD"]
        case .suspend(let service): words = ["SUSPEND", service]
        case .resume(let service): words = ["RESUME", service]
        case .purge(let service): words = ["PURGE", service]
        }
        awaited.append((request, simulation.now))
        socket.send(ReplyStream.command(words.map { Array($0.utf8) }))
    }

    func receive() {
        guard let socket else { return }
        let isOpen = socket.receive()
        while let answer = socket.answers.next() {
            guard !awaited.isEmpty else {
                return simulation.fail("a verdict that nobody asked for: \(answer)")
            }
            let (request, _) = awaited.removeFirst()
            simulation.note("\(request) → \(Self.text(answer))")
            if let problem = problem(request, answer) { simulation.fail(problem) }
        }
        if !isOpen { lose() }
    }

    func lose() {
        socket = nil
        awaited = []
    }

    private static func text(_ answer: ReplyStream.Answer) -> String {
        switch answer {
        case .line(let bytes): String(decoding: bytes, as: UTF8.self)
        case .integer(let value): "\(value)"
        case .error(let text): text
        }
    }

    private func problem(_ request: Request, _ answer: ReplyStream.Answer) -> String? {
        let text = Self.text(answer)
        switch request {
        case .upgrade(let service, let version, _):
            let word = Self.member("verdict", of: text)
            let known = ["upgraded", "started", "current", "refused", "rolled_back"]
            guard let word, known.contains(word) else { return "\(request) got '\(text)'" }
            if word == "upgraded", !version.flaw.runs { return "\(request) got '\(text)'" }
            if word == "upgraded", Self.member("to", of: text) != version.name {
                return "\(request) got '\(text)'"
            }
            simulation.note("\(service) \(word)")
            return nil
        case .reload: return text.hasPrefix("[") ? nil : "\(request) got '\(text)'"
        case .suspend, .resume, .purge:
            return text == "OK" || text.hasPrefix("BUSY") ? nil : "\(request) got '\(text)'"
        }
    }

    /// A member of a JSON object whose value is a text.
    static func member(_ name: String, of json: String) -> String? {
        guard let range = json.firstRange(of: "\"\(name)\":\"") else { return nil }
        return String(json[range.upperBound...].prefix { $0 != "\"" })
    }

    var longestWait: Moment.Span {
        awaited.first.map { simulation.now.since($0.sentAt) } ?? .milliseconds(0)
    }
}
