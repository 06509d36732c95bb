// A baton-host without a batond: a test says to it what batond would, gives it the segments of a real
// mailbox, and reads its outcomes out of the ring.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire
import CLinux
import Foundation
import Glibc

final class TestHost {
    /// What came out of the ring.
    enum Outcome: Equatable {
        case reply(UInt64, String)
        case failure(UInt64, String)
        case passed(UInt64)
        /// The state after that message.
        case state(UInt64, [UInt8])
    }

    /// One in a process's memory, where nothing but the test touches it.
    struct Loaded: Equatable {
        var version: String
        var hasState: Bool
        var stateVersion: UInt32
        var takes: ClosedRange<UInt32>
    }

    let pid: pid_t
    let ring: SharedRing
    private let exit: Descriptor
    private let channel: Descriptor
    private let wakesHost: Descriptor
    private let wakesSupervisor: Descriptor
    private var reader = SharedRing.Reader()
    private var attention: UInt64 = 0
    private var sent: Set<UInt32> = []
    private var ended: Spawn.Exit?

    /// Starts it with the bytes of an image.
    init(_ image: Data, memoryLimit: Int = 0) throws {
        var pair = try UnixSocket.pair()
        let theirs = pair.takeTheirs()
        channel = pair.takeOurs()
        let memory = try Descriptor.memory("test-ring", size: SharedRing.byteCount)
        ring = try SharedRing(memory.number)
        wakesHost = try .event()
        wakesSupervisor = try .event()
        let file = OpenFile(try .memory("test-image", size: 0))
        try file.write(Array(image), at: 0)
        try file.descriptor.seal(writes: true)
        let child = try Spawn.start(
            Products.program("baton-host"), arguments: ["test", "\(getpid())", "\(memoryLimit)"],
            environment: ["SWIFT_BACKTRACE=enable=no"],
            descriptors: [
                (theirs.number, HostChannel.Number.channel),
                (file.number, HostChannel.Number.image),
                (memory.number, HostChannel.Number.ring),
                (wakesHost.number, HostChannel.Number.wakesHost),
                (wakesSupervisor.number, HostChannel.Number.wakesSupervisor),
            ])
        pid = child.pid
        exit = child.takeExit()
    }

    deinit {
        guard ended == nil else { return }
        _ = kill(pid, SIGKILL)
        _ = waitpid(pid, nil, 0)
    }

    // MARK: Saying

    func say(_ command: HostCommand, descriptors: [Int32] = []) throws {
        try HostChannel.send(
            command.encoded(), descriptors: descriptors, on: channel.number, waits: true)
        attention += 1
        ring.store(.attention, attention)
        if ring.takeDown(.hostSleeps) { _ = baton_eventfd_write(wakesHost.number, 1) }
    }

    /// Has it start, with a state if there is one; what it says to that.
    func start(
        state: [UInt8]? = nil, from version: String = "", format: UInt32 = 0,
        downgrade: Bool = false, limit: UInt32 = 1 << 20
    ) throws -> HostReport {
        let memory = OpenFile(try .memory("test-state", size: 0))
        if let state { try memory.write(state, at: 0) }
        try say(
            .start(
                stateBytes: state.map { UInt32($0.count) }, fromVersion: version,
                stateLimit: limit, stateVersion: format, downgrade: downgrade),
            descriptors: state == nil ? [] : [memory.number])
        return try hear()
    }

    /// Sends the segments from that of `position` on which it has not, and lets it read all of them.
    func give(_ mailbox: borrowing Mailbox, from position: LogPosition) throws {
        for each in mailbox.segments(from: position.segment)
        where sent.insert(each.ordinal).inserted {
            let file = try mailbox.openForReading(each.ordinal)
            try say(
                .segment(
                    ordinal: each.ordinal, byteCount: each.byteCount,
                    previousEnd: each.previousEnd),
                descriptors: [file.number])
        }
        if ring.publish(.published, mailbox.readable.word, wakes: .hostSleeps) {
            _ = baton_eventfd_write(wakesHost.number, 1)
        }
    }

    /// The segments before that of `position` are sent again if they are needed again: a host lets
    /// go of what it has passed.
    func forget(before position: LogPosition) {
        sent = sent.filter { $0 >= position.segment }
    }

    func run(_ mailbox: borrowing Mailbox, from sequence: UInt64, dead: [UInt64] = []) throws {
        let position = mailbox.position(of: SequenceNumber(sequence))
        try give(mailbox, from: position)
        try say(.run(position: position, sequence: sequence, carefulThrough: 0, dead: dead))
    }

    func replay(
        _ mailbox: borrowing Mailbox, _ sequences: ClosedRange<UInt64>, generation: UInt32,
        dead: [UInt64] = []
    ) throws {
        let position = mailbox.position(of: SequenceNumber(sequences.lowerBound))
        try give(mailbox, from: position)
        try say(
            .replay(
                position: position, sequence: sequences.lowerBound, through: sequences.upperBound,
                generation: generation, dead: dead))
    }

    // MARK: Hearing

    /// The next thing it says that is no log line.
    func hear(within bound: Duration = .patience) throws -> HostReport {
        while try channel.isReadable(within: bound) {
            switch try HostChannel.receive(on: channel.number) {
            case .nothing: continue
            case .end: throw Failure("the host has closed its channel")
            case .frame(let bytes, _):
                guard let report = HostReport(bytes) else { throw Failure("no report: \(bytes)") }
                if case .log = report { continue }
                return report
            }
        }
        throw TimedOut(what: "word of the host", bound: bound)
    }

    func loaded() throws -> Loaded {
        switch try hear() {
        case .loaded(_, let version, _, _, let hasState, let stateVersion, let from, let to):
            guard from <= to else { throw Failure("it takes \(from) to \(to)") }
            return Loaded(
                version: version, hasState: hasState, stateVersion: stateVersion, takes: from...to)
        case let other: throw Failure("said \(other) instead of loaded")
        }
    }

    /// Everything in the ring now.
    func takeOutcomes() throws -> [Outcome] {
        var outcomes: [Outcome] = []
        reader.begin(ring)
        while true {
            switch reader.next(ring) {
            case .empty:
                if reader.finish(ring) { _ = baton_eventfd_write(wakesHost.number, 1) }
                return outcomes
            case .violation(let reason): throw Failure(reason)
            case .entry(let kind, let sequence, let payload):
                let bytes = unsafe Array(payload)
                let text = String(decoding: bytes, as: UTF8.self)
                switch kind {
                case .reply: outcomes.append(.reply(sequence, text))
                case .failure: outcomes.append(.failure(sequence, text))
                case .passed: outcomes.append(.passed(sequence))
                case .state: outcomes.append(.state(sequence, bytes))
                case .skip, .largeReply, .largeState:
                    throw Failure("an outcome that these tests do not read: \(kind)")
                }
            }
        }
    }

    /// Takes outcomes until there is one for `sequence`, and the state behind it if one came.
    func outcomes(through sequence: UInt64) throws -> [Outcome] {
        var outcomes: [Outcome] = []
        try wait(for: "the outcome of message \(sequence)") {
            outcomes += try takeOutcomes()
            return outcomes.contains { $0.settled == sequence }
        }
        return outcomes
    }

    /// Takes outcomes until it says `report`, and those that it had published before.
    func outcomes(until report: HostReport) throws -> [Outcome] {
        var outcomes: [Outcome] = []
        while try !channel.isReadable(within: .milliseconds(1)) { outcomes += try takeOutcomes() }
        let heard = try hear()
        guard heard == report else { throw Failure("said \(heard), not \(report)") }
        return outcomes + (try takeOutcomes())
    }

    /// How it ended.
    func end(within bound: Duration = .patience) throws -> Spawn.Exit {
        if let ended { return ended }
        guard try exit.isReadable(within: bound), let how = Spawn.reap(pid) else {
            throw TimedOut(what: "end of the host", bound: bound)
        }
        ended = how
        return how
    }
}

extension TestHost.Outcome {
    /// The message that it is the outcome of.
    var settled: UInt64? {
        switch self {
        case .reply(let sequence, _), .failure(let sequence, _), .passed(let sequence): sequence
        case .state: nil
        }
    }

    var state: [UInt8]? {
        if case .state(_, let bytes) = self { bytes } else { nil }
    }
}

extension Mailbox {
    /// A new mailbox in a directory, with these messages.
    static func containing(_ messages: [String], in directory: ScratchDirectory) throws -> Mailbox {
        guard let name = ServiceName("test") else { throw Failure("a good name") }
        var report = Recovery.Report()
        var mailbox = try Recovery.open(
            service: name, path: "\(directory.path)/mailbox", byteLimit: 1 << 30, report: &report)
        for message in messages { try mailbox.append(message) }
        try mailbox.flush()
        return mailbox
    }

    mutating func append(_ message: String) throws {
        var failed: StoreError?
        unsafe Array(message.utf8).withUnsafeBytes { bytes in
            do throws(StoreError) { _ = try unsafe append(bytes) } catch { failed = error }
        }
        if let failed { throw failed }
    }
}
