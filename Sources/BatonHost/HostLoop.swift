// The life of a host: loads its image, takes a state, handles messages in order, says what came of
// them. Runs in baton-host, on its one thread. What it is told by batond is in HostOrders.swift.
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
    let plugin: Plugin
    let host: UnsafePointer<baton_host>
    let call: UnsafeMutablePointer<Call>
    let ring: SharedRing
    private var outcomes = SharedRing.Writer()
    var log = LogReader()
    var dead: Set<UInt64> = []
    var carefulThrough: UInt64 = 0
    var hasStarted = false
    var isRunning = false
    var replay: Replay?
    var attention: UInt64 = 0

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
    struct Replay {
        var through: UInt64
        var generation: UInt32
    }
    /// `replay.through`, in the one word that the path of a message looks at; no message has its
    /// resting value.
    var lastOfReplay = UInt64.max

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
        baton_die_first_of_memory()
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

    static func say(_ report: HostReport, descriptors: [Int32] = []) {
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

    var handle: OpaquePointer { unsafe OpaquePointer(call) }

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
    mutating func publish() {
        guard isDirty else { return }
        if stateChanged {
            if let failed = exportState() { die(failed) }
            if unsafe call.pointee.stateCount != nil {
                let state = unsafe call.pointee.state.bytes
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

    /// Has the plugin hand over its state, if it has one; says why it cannot be kept.
    func exportState() -> String? {
        unsafe call.pointee.stateCount = nil
        guard let snapshot = unsafe plugin.table.pointee.snapshot else { return nil }
        let failed = unsafe snapshot(plugin.table.pointee.context, host, handle)
        guard failed == 0 else { return "snapshot returned \(failed)" }
        let (count, limit) = unsafe (call.pointee.stateCount ?? 0, call.pointee.stateLimit)
        return count > limit ? "the state has \(count) bytes, at most \(limit) are kept" : nil
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

    /// The end in disorder: batond reads why, and starts another.
    func die(_ reason: String) -> Never {
        Self.say(.log(level: UInt8(BATON_ERROR.rawValue), text: "the host ends: \(reason)"))
        _exit(70)
    }
}
