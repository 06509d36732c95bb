// One baton-host process, seen from batond: its descriptors, its ring, what may be said to it.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire
import CLinux
import Glibc

final class HostProcess {
    /// Which may have been removed when its last host is seen to have ended.
    let service: Service
    let image: Image
    let pid: Int32
    var machine = HostMachine()
    /// The author's label, once loaded.
    var version: String?
    /// Whether it can hand over a state at all; not known before it has loaded.
    var mayHaveState = true
    /// Which format its states have, and which it can take; 0 if it does not say.
    var stateVersion: UInt32 = 0
    var takesStates: (from: UInt32, to: UInt32) = (0, 0)
    /// Which state it was started with (`Service.stateRevision`).
    var startedRevision: UInt64?
    /// Whether it has ever been given the cursor.
    var hasRun = false
    /// Segments up to this one have been sent.
    var sentThrough: UInt32 = 0
    /// Why batond ended it, if it did.
    var endReason: String?
    var deadline: Timers.Handle?

    /// What the loop watches it by.
    struct Tokens {
        var channel: UInt64?
        var bell: UInt64?
        var exit: UInt64?
    }
    var tokens = Tokens()

    let exit: Descriptor
    let channel: Descriptor
    let wakesSupervisor: Descriptor
    private let wakesHost: Descriptor
    let ring: SharedRing
    var reader = SharedRing.Reader()
    private var published = LogPosition(word: 0)
    private var attention: UInt64 = 0
    private var generation: UInt32 = 0
    private var framesThisSecond = 0
    private var second: UInt64 = 0
    private var large: [(memory: OpenFile, byteCount: Int)] = []
    /// Of its large states, so many have been taken.
    private var largeStatesTaken: UInt64 = 0
    /// Heard while a large outcome was looked for.
    private var unheard: [HostReport] = []

    /// - Parameter memoryLimit: bytes of memory the process may have for data; 0: no limit.
    init(_ service: Service, image: Image, program: String, memoryLimit: Int = 0)
        throws(SystemError)
    {
        self.service = service
        self.image = image
        var pair = try UnixSocket.pair()
        let theirs = pair.takeTheirs()
        channel = pair.takeOurs()
        let memory = try Descriptor.memory("baton-ring", size: SharedRing.byteCount)
        try memory.seal(writes: false)
        ring = try SharedRing(memory.number)
        wakesHost = try .event()
        wakesSupervisor = try .event()
        let child = try service.supervisor.ground.spawnHost(
            program, arguments: [service.name.text, "\(getpid())", "\(memoryLimit)"],
            environment: Self.environment(),
            descriptors: [
                (theirs.number, HostChannel.Number.channel),
                (image.memory.number, HostChannel.Number.image),
                (memory.number, HostChannel.Number.ring),
                (wakesHost.number, HostChannel.Number.wakesHost),
                (wakesSupervisor.number, HostChannel.Number.wakesSupervisor),
            ])
        pid = child.pid
        exit = child.takeExit()
    }

    /// A plugin sees little of batond's environment. Swift's own crash reporter would start a
    /// process, which the sandbox bars.
    private static func environment() -> [String] {
        var kept = ["SWIFT_BACKTRACE=enable=no"]
        for name in [
            "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS",
        ] {
            if let value = unsafe getenv(name) {
                kept.append("\(name)=\(unsafe String(cString: value))")
            }
        }
        return kept
    }

    // MARK: Saying

    /// Says something; a host that does not take it is ended.
    func send(_ command: HostCommand, descriptors: [Int32] = []) {
        guard machine.state != .ending else { return }
        do throws(SystemError) {
            try HostChannel.send(
                command.encoded(), descriptors: descriptors, on: channel.number, waits: false)
        } catch {
            // Its end, if it is that, is seen by its pidfd.
            if error.code == EAGAIN { kill("it does not read its channel") }
            return
        }
        // A busy host looks at this between two messages; a sleeping one polls the channel.
        attention &+= 1
        ring.store(.attention, attention)
        if ring.takeDown(.hostSleeps) || ring.takeDown(.hostWaitsForRoom) {
            _ = baton_eventfd_write(wakesHost.number, 1)
        }
    }

    func start(
        state: MailboxMachine.State?, revision: UInt64, limit: Int, isDowngrade: Bool
    ) {
        startedRevision = revision
        let limit = UInt32(clamping: limit)
        guard let state else {
            send(
                .start(
                    stateBytes: nil, fromVersion: "", stateLimit: limit, stateVersion: 0,
                    downgrade: false))
            return
        }
        do throws(SystemError) {
            let memory = OpenFile(try .memory("baton-state", size: 0))
            try memory.write(state.bytes, at: 0)
            try memory.descriptor.seal(writes: true)
            send(
                .start(
                    stateBytes: UInt32(state.bytes.count), fromVersion: state.version,
                    stateLimit: limit, stateVersion: state.format, downgrade: isDowngrade),
                descriptors: [memory.number])
        } catch { kill("its state could not be handed over (\(error))") }
    }

    func suspend() {
        generation &+= 1
        machine.suspend(generation: generation)
        send(.suspend(generation: generation))
    }

    func proceed(_ standing: MailboxMachine) {
        machine.run()
        send(.proceed(carefulThrough: standing.carefulThrough))
    }

    /// Has it handle messages that are settled already, once more.
    func replay(
        from position: LogPosition, sequence: SequenceNumber, through: SequenceNumber,
        dead: Set<UInt64>
    ) {
        generation &+= 1
        machine.replay(generation: generation)
        hasRun = true
        send(
            .replay(
                position: position, sequence: sequence.value, through: through.value,
                generation: generation, dead: dead.sorted()))
    }

    /// Whether it says that it can take a state of this format; 0, which no version declares, never.
    func takes(_ format: UInt32) -> Bool {
        format > 0 && takesStates.to > 0 && takesStates.from <= format && format <= takesStates.to
    }

    /// Why it cannot take a state, as far as that is declared.
    func fault(taking state: MailboxMachine.State) -> String? {
        guard state.format != 0, takesStates.to > 0, !takes(state.format) else { return nil }
        return "it cannot take this state: that has format \(state.format) (of version "
            + "\(state.version)), and \(version ?? "it") takes "
            + (takesStates.from == takesStates.to
                ? "only \(takesStates.to)" : "\(takesStates.from) to \(takesStates.to)")
    }

    func run(from position: LogPosition, _ standing: MailboxMachine) {
        machine.run()
        hasRun = true
        send(
            .run(
                position: position, sequence: standing.settled.next.value,
                carefulThrough: standing.carefulThrough, dead: standing.dead.sorted()))
    }

    /// Lets the host read up to `position`.
    func publish(_ position: LogPosition) {
        guard position > published else { return }
        published = position
        if ring.publish(.published, position.word, wakes: .hostSleeps) {
            _ = baton_eventfd_write(wakesHost.number, 1)
        }
    }

    func outcomesTaken() {
        if reader.finish(ring) { _ = baton_eventfd_write(wakesHost.number, 1) }
    }

    func stop() {
        send(.stop)
        machine.end()
    }

    /// Ends a process that has ended itself, or is about to: why is for its exit to tell.
    func killSilently() { service.supervisor.ground.kill(pid) }

    func kill(_ reason: String) {
        if endReason == nil { endReason = reason }
        machine.end()
        service.supervisor.ground.kill(pid)
    }

    // MARK: Hearing

    enum Heard {
        case report(HostReport)
        case nothing
        /// The channel is closed: the process ends, or has.
        case end
        case violation(String)
    }

    func hear(now: Moment) -> Heard {
        unheard.isEmpty ? listen(now: now) : .report(unheard.removeFirst())
    }

    private func listen(now: Moment) -> Heard {
        if now.nanoseconds / 1_000_000_000 != second {
            second = now.nanoseconds / 1_000_000_000
            framesThisSecond = 0
        }
        do throws(SystemError) {
            switch try HostChannel.receive(on: channel.number) {
            case .nothing: return .nothing
            case .end: return .end
            case .frame(let bytes, let descriptor):
                let memory = descriptor.map { OpenFile(Descriptor(owning: $0)) }
                guard let report = HostReport(bytes) else {
                    return .violation("it says what is no report")
                }
                guard case .large(let byteCount) = report else { return counted(report) }
                // A host sends no more before these are taken.
                guard let memory, baton_is_memfd(memory.number) != 0, large.count < 4 else {
                    return .violation("a large outcome without memory, or too many")
                }
                large.append((memory, Int(byteCount)))
                return .report(report)
            }
        } catch { return .violation("its channel broke: \(error)") }
    }

    private func counted(_ report: HostReport) -> Heard {
        framesThisSecond += 1
        guard framesThisSecond <= FixedLimits.framesPerSecond else {
            return .violation("it floods its channel")
        }
        return .report(report)
    }

    enum Large {
        case bytes([UInt8])
        case tooLarge(byteCount: Int)
        /// It did not come, or is shorter than was said.
        case missing
    }

    /// Listens until so many large outcomes have come.
    private func awaitLarge(_ count: Int, now: Moment) -> Bool {
        while large.count < count {
            switch listen(now: now) {
            case .report(.large): break
            case .report(let report): unheard.append(report)
            case .nothing, .end, .violation: return false
            }
        }
        return true
    }

    enum LargeState {
        case memory(OpenFile, byteCount: Int)
        /// It did not come.
        case missing
    }

    /// The next large state in what the ring has, as `reader.begin` has seen it; it is not taken, nor
    /// is anything before it. `nil` if there is none.
    func largeStateAhead(now: Moment) -> LargeState? {
        guard ring.load(.largeStates) != largeStatesTaken else { return nil }
        var ahead = reader.ahead
        var count = 1
        while true {
            switch ahead.next(ring) {
            // It is written, and not published yet.
            case .empty: return nil
            // For who takes it to say.
            case .violation: return nil
            case .entry(.largeReply, _, _): count += 1
            case .entry(.largeState, _, _):
                guard awaitLarge(count, now: now) else { return .missing }
                let state = large[count - 1]
                return .memory(state.memory, byteCount: state.byteCount)
            case .entry: continue
            }
        }
    }

    /// The bytes of a large outcome that is to be taken, counted from 0; 0 if it does not come.
    func largeByteCount(_ index: Int, now: Moment) -> Int {
        awaitLarge(index + 1, now: now) ? large[index].byteCount : 0
    }

    /// The next large outcome is a state that is known already.
    func passLargeState() {
        largeStatesTaken &+= 1
        if !large.isEmpty { large.removeFirst() }
    }

    /// The next large outcome; read, not mapped: the host may cut it short.
    func takeLarge(limit: Int, now: Moment) -> Large {
        guard awaitLarge(1, now: now) else { return .missing }
        let next = large.removeFirst()
        guard next.byteCount <= limit else { return .tooLarge(byteCount: next.byteCount) }
        var bytes = [UInt8](repeating: 0, count: next.byteCount)
        let number = next.memory.number
        let got = unsafe bytes.withUnsafeMutableBytes { buffer in
            retryInterrupted { unsafe pread(number, buffer.baseAddress, buffer.count, 0) }
        }
        return got == next.byteCount ? .bytes(bytes) : .missing
    }
}
