// The life of a host: loads its image, takes a state, handles messages in order, says what came of
// them. Runs in baton-host, on its one thread.
//
// Invariants: outcomes are published only where they agree with the state; commands are obeyed only
// between two messages; before it sleeps it has published everything and looked once more.

import BatonCore
import BatonLinux
import BatonWire
import CBaton
import CLinux
import Glibc

@safe package struct HostLoop: ~Copyable {
    private let plugin: Plugin
    private let host: UnsafePointer<baton_host>
    private let call: UnsafeMutablePointer<Call>
    private let ring: SharedRing
    private var outcomes = SharedRing.Writer()
    private var log = LogReader()
    private var dead: Set<UInt64> = []
    private var carefulThrough: UInt64 = 0
    private var hasStarted = false
    private var stateLimit = 0
    private var isRunning = false
    private var replay: Replay?
    private var attention: UInt64 = 0

    // Since the last publication:
    private var isDirty = false
    private var stateChanged = false
    private var lastHandled: UInt64 = 0
    private var firstHandledAt: UInt64 = 0
    private var bytesWritten = 0
    private var usedMemory = false
    /// The end of the last message; messages that are still published one by one.
    private var lastEndedAt: UInt64 = 0
    private var singly = 0

    /// Messages that are handled again: up to which, and what is said when they are.
    private struct Replay {
        var through: UInt64
        var generation: UInt32
    }
    /// `replay.through`, in the one word that the path of a message looks at; no message has its
    /// resting value.
    private var lastOfReplay = UInt64.max

    /// Roughly 50 µs of the cycle counter: how long a finished message may wait for others.
    private static let batchCycles: UInt64 = 150_000
    /// Roughly 1 ms. After a message that took longer, the next ones do not wait for each other.
    private static let slowCycles: UInt64 = 3_000_000
    private static let singlyAfterSlow = 64
    private static let batchBytes = 64 << 10

    /// Runs until batond goes or says so.
    /// - Parameter memoryLimit: bytes of memory that this process may have for data; 0: no limit.
    package static func main(supervisor: Int32, memoryLimit: UInt64) -> Never {
        guard baton_die_with_parent(supervisor) != 0 else { exit(0) }
        if memoryLimit > 0 {
            var limit = rlimit(
                rlim_cur: rlim_t(memoryLimit), rlim_max: rlim_t(memoryLimit))
            guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_DATA.rawValue), &limit) == 0 else {
                exit(71)
            }
        }
        let sandbox = UInt8(clamping: max(0, baton_sandbox()))
        load(inside: sandbox).run()
    }

    private static func load(inside sandbox: UInt8) -> HostLoop {
        do throws(ImageError) {
            let plugin = try ImageLoader.load()
            let loop = try HostLoop(plugin)
            say(
                .loaded(
                    name: plugin.name, version: plugin.version, abi: UInt32(BATON_ABI),
                    sandbox: sandbox, hasState: plugin.hasState,
                    stateVersion: plugin.stateVersion, takesFrom: plugin.takes.lowerBound,
                    takesTo: plugin.takes.upperBound))
            return loop
        } catch {
            say(.refused(reason: error.reason))
            // batond ends this process when it has read the reason.
            awaitTheEnd()
        }
    }

    private init(_ plugin: Plugin) throws(ImageError) {
        self.plugin = plugin
        unsafe host = Call.makeHost()
        unsafe call = .allocate(capacity: 1)
        unsafe call.initialize(to: Call())
        do throws(SystemError) { ring = try SharedRing(HostChannel.Number.ring) } catch {
            throw ImageError(reason: "the shared memory cannot be mapped (\(error))")
        }
    }

    private static func say(_ report: HostReport, descriptors: [Int32] = []) {
        do throws(SystemError) {
            try HostChannel.send(
                report.encoded(), descriptors: descriptors, on: HostChannel.Number.channel,
                waits: true)
        } catch { exit(0) }
    }

    private static func awaitTheEnd() -> Never {
        while true {
            guard case .end = try? HostChannel.receive(on: HostChannel.Number.channel) else {
                var wait = pollfd(fd: HostChannel.Number.channel, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&wait, 1, 1000)
                continue
            }
            exit(0)
        }
    }

    private var handle: OpaquePointer { unsafe OpaquePointer(call) }

    // MARK: The loop

    private consuming func run() -> Never {
        while true {
            if ring.load(.attention) != attention { obey() }
            if isRunning {
                guard outcomes.hasRoom(ring) else {
                    publish()
                    sleep(for: .hostWaitsForRoom)
                    continue
                }
                switch log.step(published: LogPosition(word: ring.load(.published))) {
                case .message(let sequence, let bytes):
                    unsafe handleMessage(sequence, bytes)
                    if sequence == lastOfReplay { endReplay() }
                    continue
                case .none: publish()
                case .broken(let reason): die(reason)
                }
            }
            sleep(for: .hostSleeps)
        }
    }

    @inline(__always)
    private mutating func handleMessage(_ sequence: UInt64, _ message: UnsafeRawBufferPointer) {
        if !isDirty {
            isDirty = true
            firstHandledAt = baton_cycles()
            lastEndedAt = firstHandledAt
        }
        lastHandled = sequence
        if !dead.isEmpty, dead.remove(sequence) != nil {
            unsafe outcomes.write(
                .passed, sequence: sequence, UnsafeRawBufferPointer(start: nil, count: 0), to: ring)
        } else {
            ring.store(.inHandSince, lastEndedAt)
            ring.store(.inHand, sequence)
            unsafe call.pointee.begin()
            let handled = unsafe plugin.table.pointee.handle(
                plugin.table.pointee.context, host, handle,
                baton_bytes(bytes: message.baseAddress, count: message.count))
            if handled == Int32(BATON_CHANGED.rawValue) {
                stateChanged = true
            } else if handled != Int32(BATON_UNCHANGED.rawValue) {
                die("handle returned \(handled)")
            }
            writeOutcome(sequence)
        }
        let ended = baton_cycles()
        if ended &- lastEndedAt > Self.slowCycles { singly = Self.singlyAfterSlow }
        lastEndedAt = ended
        if usedMemory || singly > 0 || sequence <= carefulThrough
            || bytesWritten >= Self.batchBytes || ended &- firstHandledAt > Self.batchCycles
        {
            singly = max(0, singly - 1)
            publish()
        }
    }

    @inline(__always)
    private mutating func writeOutcome(_ sequence: UInt64) {
        let reply = unsafe call.pointee.reply.bytes
        bytesWritten += reply.count + 32
        switch unsafe call.pointee.answer {
        case .failure: unsafe outcomes.write(.failure, sequence: sequence, reply, to: ring)
        case .reply:
            if reply.count <= SharedRing.entryBytes {
                unsafe outcomes.write(.reply, sequence: sequence, reply, to: ring)
            } else {
                unsafe writeLarge(.largeReply, sequence, reply)
            }
        }
    }

    /// What the ring does not hold goes through a memfd.
    private mutating func writeLarge(
        _ kind: OutcomeKind, _ sequence: UInt64, _ bytes: UnsafeRawBufferPointer
    ) {
        usedMemory = true
        do throws(SystemError) {
            let memory = try Descriptor.memory("baton-large", size: 0)
            try unsafe memory.write(bytes, at: 0)
            Self.say(
                .large(byteCount: UInt32(clamping: bytes.count)), descriptors: [memory.number])
        } catch { die("\(error)") }
        unsafe outcomes.write(
            kind, sequence: sequence, UnsafeRawBufferPointer(start: nil, count: 0), to: ring)
    }

    /// Lets batond have everything handled so far, with the state it led to.
    private mutating func publish() {
        guard isDirty else { return }
        if stateChanged, let snapshot = unsafe plugin.table.pointee.snapshot {
            unsafe call.pointee.hasState = false
            guard unsafe snapshot(plugin.table.pointee.context, host, handle) == 0 else {
                die("snapshot failed")
            }
            if unsafe call.pointee.hasState {
                let state = unsafe call.pointee.state.bytes
                guard state.count <= stateLimit else {
                    die("the state has \(state.count) bytes, at most \(stateLimit) are kept")
                }
                if state.count <= SharedRing.entryBytes {
                    unsafe outcomes.write(.state, sequence: lastHandled, state, to: ring)
                } else {
                    unsafe writeLarge(.largeState, lastHandled, state)
                }
            }
        }
        isDirty = false
        stateChanged = false
        bytesWritten = 0
        usedMemory = false
        ring.store(.inHand, 0)
        ring.store(.inHandSince, 0)
        if outcomes.publish(ring) {
            _ = baton_eventfd_write(HostChannel.Number.wakesSupervisor, 1)
        }
    }

    private mutating func sleep(for flag: SharedRing.Word) {
        ring.raise(flag)
        let mayGoOn =
            switch flag {
            case .hostWaitsForRoom: outcomes.hasRoom(ring)
            default:
                isRunning && log.isBefore(LogPosition(word: ring.peek(.published)))
            }
        if !mayGoOn, ring.peek(.attention) == attention {
            var waits = [
                pollfd(fd: HostChannel.Number.wakesHost, events: Int16(POLLIN), revents: 0),
                pollfd(fd: HostChannel.Number.channel, events: Int16(POLLIN), revents: 0),
            ]
            _ = unsafe poll(&waits, 2, -1)
            if waits[0].revents != 0 { _ = baton_eventfd_read(HostChannel.Number.wakesHost) }
            if waits[1].revents != 0 { obey() }
        }
        _ = ring.takeDown(flag)
    }

    // MARK: Commands

    private mutating func obey() {
        attention = ring.load(.attention)
        while true {
            do throws(SystemError) {
                switch try HostChannel.receive(on: HostChannel.Number.channel) {
                case .nothing: return
                case .end: leave()
                case .frame(let bytes, let descriptor):
                    guard let command = HostCommand(bytes) else { die("an unknown command") }
                    obey(command, descriptor)
                }
            } catch { die("\(error)") }
        }
    }

    private mutating func obey(_ command: HostCommand, _ descriptor: Int32?) {
        switch command {
        case .start(
            let stateBytes, let fromVersion, let stateLimit, let stateVersion, let downgrade):
            self.stateLimit = Int(stateLimit)
            let state = takeState(stateBytes.map(Int.init), descriptor)
            start(
                state, from: stateBytes == nil ? "" : fromVersion, stateVersion, downgrade)
        case .segment(let ordinal, let byteCount, let previousEnd):
            guard let descriptor else { die("a segment without its descriptor") }
            log.add(
                ordinal: ordinal, byteCount: byteCount, previousEnd: previousEnd,
                descriptor: descriptor)
        case .run(let position, let sequence, let carefulThrough, let dead):
            begin(at: position, sequence, passingOver: dead)
            self.carefulThrough = carefulThrough
            forgetReplay()
        case .proceed: isRunning = true
        case .suspend(let generation):
            publish()
            isRunning = false
            Self.say(.suspended(generation: generation))
        case .stop: leave()
        case .replay(let position, let sequence, let through, let generation, let dead):
            begin(at: position, sequence, passingOver: dead)
            carefulThrough = 0
            replay = Replay(through: through, generation: generation)
            lastOfReplay = through
            if sequence > through { endReplay() }
        }
    }

    private mutating func begin(
        at position: LogPosition, _ sequence: UInt64, passingOver dead: [UInt64]
    ) {
        guard log.seek(position, sequence: sequence) else { die("no segment for \(position)") }
        self.dead = Set(dead)
        isRunning = true
    }

    private mutating func endReplay() {
        guard let ended = replay else { return }
        forgetReplay()
        publish()
        isRunning = false
        Self.say(.suspended(generation: ended.generation))
    }

    private mutating func forgetReplay() {
        replay = nil
        lastOfReplay = .max
    }

    /// The state sent with a command; empty if there is none.
    private func takeState(_ byteCount: Int?, _ descriptor: Int32?) -> [UInt8] {
        guard let descriptor else { return [] }
        let memory = Descriptor(owning: descriptor)
        guard let byteCount else { return [] }
        var state = [UInt8](repeating: 0, count: byteCount)
        do throws(SystemError) {
            let got = try unsafe state.withUnsafeMutableBytes { buffer in
                Result { () throws(SystemError) in try unsafe memory.read(into: buffer, at: 0) }
            }.get()
            guard got == byteCount else { throw SystemError("read the state", code: EIO) }
        } catch { die("\(error)") }
        return state
    }

    private mutating func start(
        _ state: [UInt8], from version: String, _ stateVersion: UInt32, _ downgrade: Bool
    ) {
        if hasStarted { stop() }
        unsafe call.pointee.reason = ""
        let version = Array(version.utf8)
        let result = unsafe state.withUnsafeBytes { state in
            unsafe version.withUnsafeBytes { version in
                var start = unsafe baton_start(
                    size: MemoryLayout<baton_start>.size,
                    state: baton_bytes(bytes: state.baseAddress, count: state.count),
                    from_version: baton_bytes(bytes: version.baseAddress, count: version.count),
                    state_version: stateVersion, downgrade: downgrade ? 1 : 0)
                return unsafe plugin.table.pointee.start(
                    plugin.table.pointee.context, host, handle, &start)
            }
        }
        guard result == 0 else {
            let reason = unsafe call.pointee.reason
            Self.say(
                .refused(
                    reason: reason.isEmpty ? "start returned \(result)" : reason))
            return
        }
        hasStarted = true
        Self.say(.started)
    }

    private mutating func stop() {
        hasStarted = false
        if let stop = unsafe plugin.table.pointee.stop {
            unsafe stop(plugin.table.pointee.context, host, handle)
        }
    }

    /// The end in order: what is handled is published first.
    private mutating func leave() -> Never {
        publish()
        if hasStarted { stop() }
        exit(0)
    }

    /// The end in disorder: batond reads why, and starts another.
    private func die(_ reason: String) -> Never {
        Self.say(.log(level: UInt8(BATON_ERROR.rawValue), text: "the host ends: \(reason)"))
        _exit(70)
    }
}
