// The worker thread, and with its help the ring between two real threads that sleep and wake each
// other.

import BatonCore
import BatonLinux
import CLinux
import Glibc
import Testing

@Suite("A worker thread")
struct WorkerTests {
    @Test("It performs jobs in order and hands back every result once")
    func order() throws {
        let worker = try Worker<Int, Int>(name: "doubler") { $0 * 2 }
        var results: [Int] = []
        for round in 0..<100 {
            for job in round * 10..<round * 10 + 10 { worker.submit(job) }
            if round % 3 == 0 { results += worker.take() }
        }
        while results.count < 1000 {
            try #require(isReadable(worker.descriptor), "the results do not come")
            results += worker.take()
        }
        #expect(results == (0..<1000).map { $0 * 2 })
        #expect(worker.take().isEmpty)
    }

    @Test("A host and a supervisor that sleep when they have nothing to do miss nothing")
    func ringBetweenThreads() throws {
        let shared = try ThreadedRing()
        let host = try Worker<Int, String?>(name: "host") { shared.writeAll($0) }
        let supervisor = try Worker<Int, String?>(name: "supervisor") { shared.readAll($0) }
        supervisor.submit(200_000)
        host.submit(200_000)
        for worker in [host, supervisor] {
            try #require(isReadable(worker.descriptor), "a thread hangs")
            #expect(worker.take() == [nil])
        }
    }
}

/// Waits for a descriptor, with a bound far beyond what it can take.
private func isReadable(_ descriptor: Int32) -> Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&wait, 1, 60_000) == 1
}

/// A ring that two threads map, each for itself, as two processes do.
private final class ThreadedRing: Sendable {
    private let memory: Descriptor
    private let wakesWriter: Descriptor
    private let wakesReader: Descriptor

    init() throws(SystemError) {
        memory = try .memory("test-ring", size: SharedRing.byteCount)
        wakesWriter = try .event()
        wakesReader = try .event()
    }

    private static func length(_ sequence: Int) -> Int { sequence &* 2_654_435_761 % 300 }

    /// - Returns: what is wrong.
    func writeAll(_ count: Int) -> String? {
        do throws(SystemError) {
            let ring = try SharedRing(memory.number)
            var writer = SharedRing.Writer()
            let payload = [UInt8](repeating: 5, count: 300)
            for sequence in 1...count {
                if !writer.hasRoom(ring) {
                    publish(&writer, ring)
                    guard waitForRoom(&writer, ring) else { return "nobody makes room" }
                }
                unsafe payload.withUnsafeBytes {
                    unsafe writer.write(
                        .reply, sequence: UInt64(sequence),
                        UnsafeRawBufferPointer(rebasing: $0[..<Self.length(sequence)]), to: ring)
                }
                if sequence % 7 == 0 || sequence == count { publish(&writer, ring) }
            }
        } catch { return "\(error)" }
        return nil
    }

    private func publish(_ writer: inout SharedRing.Writer, _ ring: borrowing SharedRing) {
        if writer.publish(ring) { _ = baton_eventfd_write(wakesReader.number, 1) }
    }

    private func waitForRoom(_ writer: inout SharedRing.Writer, _ ring: borrowing SharedRing)
        -> Bool
    {
        while true {
            ring.raise(.hostWaitsForRoom)
            if writer.hasRoom(ring) { break }
            guard isReadable(wakesWriter.number) else { return false }
            _ = baton_eventfd_read(wakesWriter.number)
        }
        _ = ring.takeDown(.hostWaitsForRoom)
        return true
    }

    /// - Returns: what is wrong.
    func readAll(_ count: Int) -> String? {
        do throws(SystemError) {
            let ring = try SharedRing(memory.number)
            var reader = SharedRing.Reader()
            var next = 1
            while next <= count {
                reader.begin(ring)
                taking: while true {
                    switch reader.next(ring) {
                    case .empty: break taking
                    case .violation(let reason): return reason
                    case .entry(_, let sequence, let payload):
                        guard sequence == UInt64(next), payload.count == Self.length(next) else {
                            return "\(sequence) with \(payload.count) bytes where \(next) is due"
                        }
                        next += 1
                    }
                }
                if reader.finish(ring) { _ = baton_eventfd_write(wakesWriter.number, 1) }
                ring.raise(.supervisorSleeps)
                if next > count || reader.isBehind(ring) { continue }
                guard isReadable(wakesReader.number) else { return "nobody wakes the supervisor" }
                _ = baton_eventfd_read(wakesReader.number)
            }
        } catch { return "\(error)" }
        return nil
    }
}
