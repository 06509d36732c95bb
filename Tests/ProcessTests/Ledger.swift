// Clients of the service ledger, and what they were told: a book kept outside of batond, with which the
// service's own is compared after every crash. What was acknowledged is there, what was sent may be;
// that each message counted once and in order, the service sees by itself.

import BatonClient
import BatonLinux
import Foundation
import Testing

/// One client's numbers, over its service's socket or as SENDs.
struct LedgerTalk: Conversation {
    enum Way { case lines, receipts }

    let way: Way
    let client: Int
    /// Of its first message on this connection.
    let first: Int
    private var lastSequence = 0

    init(_ way: Way, client: Int, first: Int) {
        (self.way, self.client, self.first) = (way, client, first)
    }

    /// Most are short; some are so long that the log goes through its segments.
    static func message(_ client: Int, _ number: Int) -> String {
        let filler = String(repeating: "x", count: number % 16 == 0 ? 1500 : number % 7 * 10)
        return "\(client) \(number) \(filler)"
    }

    mutating func say(_ index: Int, to bytes: inout [UInt8]) {
        let message = Self.message(client, first + index)
        switch way {
        case .lines: bytes.append(contentsOf: (message + "\n").utf8)
        case .receipts:
            let words = ["SEND", "ledger", message]
            let text = "*3\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
            bytes.append(contentsOf: text.utf8)
        }
    }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        let text = String(decoding: reply, as: UTF8.self)
        switch way {
        case .lines:
            guard text == "\(first + index)" else {
                throw Failure("message \(first + index) of client \(client) was answered '\(text)'")
            }
        case .receipts:
            // `:17` and a carriage return, which is one character with a newline only.
            guard let sequence = Int(text.dropFirst().dropLast()), text.first == ":",
                sequence > lastSequence
            else {
                throw Failure("SEND \(first + index) of client \(client) was answered '\(text)'")
            }
            lastSequence = sequence
        }
    }
}

final class Ledger {
    /// Three that have replies, and one that has receipts.
    static let clients = 4

    /// By client, the last number that was acknowledged, and the last that was sent.
    private(set) var acknowledged = [Int](repeating: 0, count: clients)
    private(set) var sent = [Int](repeating: 0, count: clients)
    private var crowd: Crowd<LedgerTalk>?

    /// Messages that were acknowledged in all.
    var total: Int { acknowledged.reduce(0, +) }

    /// Connects, and goes on behind what is known to be kept.
    /// - Parameter windows: each client's most messages without a reply.
    func connect(_ daemon: TestDaemon, windows: [Int]) throws {
        crowd = nil
        sent = acknowledged
        crowd = Crowd(
            try (0..<Self.clients).map { client in
                let way: LedgerTalk.Way = client == Self.clients - 1 ? .receipts : .lines
                return try PipelinedClient(
                    LedgerTalk(way, client: client, first: acknowledged[client] + 1),
                    path: way == .lines
                        ? daemon.runtime.serviceSocket("ledger") : daemon.runtime.messageSocket,
                    window: windows[client])
            })
    }

    /// Messages that were acknowledged since it connected.
    var received: Int { crowd?.clients.map(\.received).reduce(0, +) ?? 0 }

    /// Works until it is cut off, or `isOver` and there is a reply to everything.
    func work(until isOver: () throws -> Bool = { false }) throws {
        guard let crowd else { throw Failure("the clients are not connected") }
        defer {
            for (index, client) in crowd.clients.enumerated() {
                let before = client.talk.first - 1
                acknowledged[index] = before + client.received
                sent[index] = before + client.sent
            }
        }
        try crowd.work(until: isOver)
    }

    /// What is wrong with what the service holds, given its answer to `state`; nothing if all that was
    /// acknowledged is there, once and in order. What it holds is known to be kept from here on.
    func fault(in answer: String) -> String? {
        let kept = answer.split(separator: " ").compactMap { Int($0) }
        guard kept.count == 8 else { return answer }
        for client in 0..<Self.clients
        where !(acknowledged[client]...max(acknowledged[client], sent[client]) ~= kept[client]) {
            return "client \(client) was told of \(acknowledged[client]) and sent "
                + "\(sent[client]), but the service has \(kept[client])"
        }
        acknowledged = Array(kept.prefix(Self.clients))
        return nil
    }

    /// Asks the service, which answers when it has handled what waits.
    func fault(in daemon: TestDaemon) throws -> String? {
        fault(in: try daemon.call("ledger", "state"))
    }
}

/// xorshift64*: the same steps for the same seed, as far as processes let it.
struct Dice: RandomNumberGenerator {
    let seed: UInt64
    private var state: UInt64

    init(seed: UInt64) { (self.seed, state) = (seed, max(1, seed)) }

    /// From `BATON_SEED`, or by chance; said, so that it can be thrown again.
    static func thrown(for what: String) -> Dice {
        let asked = ProcessInfo.processInfo.environment["BATON_SEED"].flatMap(UInt64.init)
        let seed = asked ?? UInt64.random(in: 1 ... .max)
        print("\(what) with BATON_SEED=\(seed)")
        return Dice(seed: seed)
    }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
}
