// Clients of trial that add to one sum, each to 20 bits of it that are its own. So every reply tells how
// often each message of its client has counted so far, and the sum in the end how often each of them
// all did: also of a client that was cut off, and of one that only has receipts.

import BatonClient
import Foundation
import Testing

/// Adds one to its share with every message, and is told so, in order.
struct ShareTalk: Conversation {
    static let bits = 20
    private let share: Int
    private let command: [UInt8]

    init(share: Int) {
        self.share = share
        command = Array((Self.message(of: share) + "\n").utf8)
    }

    static func message(of share: Int) -> String { "sum \(1 << (bits * share))" }

    static func count(of share: Int, in sum: Int) -> Int {
        (sum >> (bits * share)) & (1 << bits - 1)
    }

    mutating func say(_ index: Int, to bytes: inout [UInt8]) { bytes.append(contentsOf: command) }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        let text = String(decoding: reply, as: UTF8.self)
        guard let sum = Int(text), Self.count(of: share, in: sum) == index + 1 else {
            throw Failure("message \(index) of client \(share) was answered '\(text)'")
        }
    }
}

/// Two clients that have replies, and one that has receipts.
final class Shares {
    private enum Talk: Conversation {
        case share(ShareTalk)
        case receipts(ReceiptTalk)

        mutating func say(_ index: Int, to bytes: inout [UInt8]) {
            switch self {
            case .share(var talk):
                talk.say(index, to: &bytes)
                self = .share(talk)
            case .receipts(var talk):
                talk.say(index, to: &bytes)
                self = .receipts(talk)
            }
        }

        mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
            switch self {
            case .share(var talk):
                try talk.hear(reply, index)
                self = .share(talk)
            case .receipts(var talk):
                try talk.hear(reply, index)
                self = .receipts(talk)
            }
        }
    }

    private let crowd: Crowd<Talk>

    /// - Parameter service: a trial whose sum is 0.
    init(_ daemon: TestDaemon, _ service: String = "trial", window: Int = 16) throws {
        // Beyond it a share would spill into the next.
        let most = 1 << ShareTalk.bits - 1
        let receipts = ReceiptTalk(service: service, message: ShareTalk.message(of: 2))
        crowd = Crowd(
            try (0..<2).map {
                try PipelinedClient(
                    .share(ShareTalk(share: $0)), path: daemon.runtime.serviceSocket(service),
                    window: window, goal: most)
            } + [
                try PipelinedClient(
                    .receipts(receipts), path: daemon.runtime.messageSocket, window: window,
                    goal: most)
            ])
    }

    /// How many replies and receipts there have been.
    var received: Int { crowd.clients.map(\.received).reduce(0, +) }
    var areCut: Bool { crowd.clients.allSatisfy(\.isCut) }

    /// Works until `isOver`, and until there is a reply to everything then; or until it is cut off.
    func work(until isOver: () throws -> Bool) throws { try crowd.work(until: isOver) }

    /// What had a reply or a receipt has counted, once; what had none, once or not at all.
    func expectKept(
        by daemon: TestDaemon, _ service: String = "trial",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let sum = try #require(Int(try daemon.call(service, "sum")), sourceLocation: sourceLocation)
        let count = try daemon.call(service, "count")
        let counts = crowd.clients.indices.map { ShareTalk.count(of: $0, in: sum) }
        for (client, count) in zip(crowd.clients, counts) {
            #expect(
                client.received...client.sent ~= count,
                "\(counts) of \(crowd.clients.map { $0.received...$0.sent })",
                sourceLocation: sourceLocation)
        }
        #expect(count == "\(counts.reduce(0, +))", sourceLocation: sourceLocation)
    }
}
