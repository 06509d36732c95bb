// What a host says: frames on its channel, in any order, and whatever stands in its ring, as batond reads
// it; and what batond says to a host. Runs in the fuzzer.

import BatonCore
import BatonLinux
import BatonWire
import Glibc
import Synchronization

enum FuzzHost {
    /// The first byte is odd: what follows are frames, each with its length before it; else the ring.
    static func run(_ bytes: UnsafeRawBufferPointer) {
        guard let kind = unsafe bytes.first else { return }
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        if kind & 1 == 1 { unsafe frames(rest) } else { unsafe ring(rest) }
    }

    /// One frame to a host: read again, it is what it was.
    static func command(_ bytes: UnsafeRawBufferPointer) {
        guard let command = unsafe HostCommand(Array(bytes)) else { return }
        precondition(HostCommand(command.encoded()) == command, "\(command) is not itself")
    }

    private static func frames(_ bytes: UnsafeRawBufferPointer) {
        var machine = HostMachine()
        var rest = unsafe bytes[...]
        while let length = unsafe rest.popFirst() {
            let frame = unsafe Array(rest.prefix(Int(length)))
            unsafe rest = rest.dropFirst(Int(length))
            guard let report = HostReport(frame) else { continue }
            let said: HostMachine.Said
            switch report {
            case .loaded: said = .loaded
            case .started: said = .started
            case .refused(let reason): said = .refused(reason: reason)
            case .suspended(let generation): said = .suspended(generation: generation)
            case .log, .large: said = .log
            }
            _ = machine.said(said)
            // What the supervisor would do then.
            if machine.state == .ready {
                switch length % 3 {
                case 0: machine.run()
                case 1: machine.replay(generation: 7)
                default: machine.startAgain()
                }
            } else if machine.state == .running, length % 2 == 0 {
                machine.suspend(generation: 7)
            }
        }
    }

    /// One ring for all runs, clean before each; the fuzzer has one thread.
    nonisolated(unsafe) private static let shared: SharedRing = {
        do throws(SystemError) { return try SharedRing(memory) } catch {
            preconditionFailure("\(error)")
        }
    }()
    nonisolated(unsafe) private static let mapping: Mapping = {
        do throws(SystemError) {
            return try Mapping(memory, count: SharedRing.byteCount, writable: true)
        } catch { preconditionFailure("\(error)") }
    }()
    private static let memory: Int32 = {
        guard let memory = try? Descriptor.memory("ring", size: SharedRing.byteCount) else {
            preconditionFailure("there is no memory")
        }
        return memory.release()
    }()

    /// Eight bytes each: what the host says it has written, and up to where that was taken. The rest
    /// stands there, at the place of the first entry, and again at the ring's end.
    private static func ring(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 16 else { return }
        let written = unsafe bytes.loadUnaligned(as: UInt64.self)
        // The supervisor's own number: always that of an entry, and never near the end of all numbers.
        let taken = unsafe bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) & (1 << 60 - 16)
        let entries = unsafe UnsafeRawBufferPointer(rebasing: bytes.dropFirst(16))
        let capacity = FixedLimits.ringBytes
        let places = [
            4096, 4096 + Int(taken % UInt64(capacity)), 4096 + capacity - entries.count / 2,
        ].map { $0..<min($0 + entries.count, SharedRing.byteCount) }
        for place in places {
            guard let source = entries.baseAddress else { break }
            unsafe (mapping.base + place.lowerBound).copyMemory(
                from: source, byteCount: place.count)
        }
        defer {
            for place in places {
                _ = unsafe memset(mapping.base + place.lowerBound, 0, place.count)
            }
        }
        unsafe shared.store(.written, written)
        var reader = SharedRing.Reader(from: taken, to: written)
        var room = capacity
        for due in 0..<1000 as Range<UInt64> {
            if let reply = unsafe reader.nextReply(due, shared) {
                room -= 16 + reply.count
                precondition(room >= 0, "replies are more than the ring holds")
                _ = unsafe reply.reduce(0 as UInt8, ^)
                continue
            }
            switch unsafe reader.next(shared) {
            case .entry(_, _, let payload):
                room -= 16 + payload.count
                precondition(room >= 0, "entries are more than the ring holds")
                _ = unsafe payload.reduce(0 as UInt8, ^)
            case .empty, .violation:
                _ = unsafe reader.finish(shared)
                return
            }
        }
    }
}
