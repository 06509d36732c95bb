// Somebody who listens to events, and so knows which version handles messages. Runs in the simulator.

import BatonCore
import Glibc

final class SimulatedWatcher {
    private unowned let simulation: Simulation
    private(set) var socket: ClientSocket?
    private var readAt: Moment?
    private var connectAt: Moment
    /// By service, since when which version handles messages; `nil`: it is not known.
    private var versions: [String: [(since: Moment, version: String?)]] = [:]

    init(_ simulation: Simulation) {
        self.simulation = simulation
        connectAt = simulation.now
    }

    var dueAt: Moment { socket == nil ? connectAt : readAt ?? .distantFuture }

    func isReadable() {
        guard readAt == nil else { return }
        readAt = simulation.now.advanced(by: simulation.dice.microseconds(0...200))
    }

    func step() {
        readAt = nil
        guard socket == nil else { return receive() }
        connectAt = simulation.now.advanced(by: .milliseconds(50))
        socket = ClientSocket(path: "\(simulation.places.runtime)/baton.sock", isRESP: true)
        for service in simulation.scenario.busy { send(["STATUS", service.name]) }
        send(["SUBSCRIBE", "events"])
    }

    private func send(_ words: [String]) {
        socket?.send(ReplyStream.command(words.map { Array($0.utf8) }))
    }

    func receive() {
        guard let socket else { return }
        let isOpen = socket.receive()
        while let answer = socket.answers.next() {
            guard case .line(let bytes) = answer, bytes.first == UInt8(ascii: "{") else { continue }
            note(String(decoding: bytes, as: UTF8.self))
        }
        if !isOpen { lose() }
    }

    private func note(_ json: String) {
        guard let event = OperatorRequest.member("event", of: json) else {
            // The status of a service.
            guard let name = OperatorRequest.member("name", of: json) else { return }
            return note(name, OperatorRequest.member("version", of: json))
        }
        guard let service = OperatorRequest.member("service", of: json) else { return }
        switch event {
        case "upgraded", "rolled_back", "started":
            note(service, OperatorRequest.member("to", of: json))
        case "removed", "added": note(service, nil)
        default: break
        }
    }

    private func note(_ service: String, _ version: String?) {
        versions[service, default: []].append((simulation.now, version))
    }

    /// From here on nothing is known, until somebody tells.
    func lose() {
        guard socket != nil else { return }
        receivedAll()
        socket = nil
        for service in simulation.scenario.busy { note(service.name, nil) }
        connectAt = simulation.now.advanced(by: .milliseconds(1))
    }

    private func receivedAll() {
        guard let socket, socket.receive() else { return }
        while let answer = socket.answers.next() {
            guard case .line(let bytes) = answer, bytes.first == UInt8(ascii: "{") else { continue }
            note(String(decoding: bytes, as: UTF8.self))
        }
    }

    /// Whether a message that was sent at `moment` can be answered by `version` now.
    func allows(_ service: String, _ version: String, sentAt moment: Moment) -> Bool {
        receivedAll()
        let all = versions[service] ?? []
        let then = all.last { $0.since < moment }?.version
        guard let then else { return true }
        return then == version
            || all.contains { $0.since >= moment && ($0.version == nil || $0.version == version) }
    }
}
