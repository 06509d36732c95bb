// How a service's messages come to a host: its segments of the log, and up to where it may read.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire

extension Service {
    /// Lets the host in charge read what is written, sending it the segments it lacks.
    func publish() {
        guard let host = current, case .running = host.machine.state else { return }
        publish(to: host)
    }

    func publish(to host: HostProcess) {
        sendSegments(to: host)
        let readable = mailbox.readable
        guard readable.segment > host.sentThrough else { return host.publish(readable) }
        // Not all segments are there yet: up to the end of the last that is.
        if let next = mailbox.segments(from: host.sentThrough + 1).first {
            host.publish(LogPosition(segment: host.sentThrough, offset: next.previousEnd))
        }
    }

    /// Segments that a host may hold open beyond the cursor.
    private static let segmentsAhead: UInt32 = 32

    /// - Parameter start: the message from which on it reads; the next one if not said.
    func sendSegments(to host: HostProcess, from start: SequenceNumber? = nil) {
        let next = mailbox.position(of: mailbox.standing.settled.next).segment
        let first = start.map { mailbox.position(of: $0).segment } ?? next
        let last = min(mailbox.readable.segment, next + Self.segmentsAhead)
        guard host.sentThrough < last else { return }
        for segment in mailbox.segments(from: max(first, host.sentThrough + 1))
        where segment.ordinal <= last {
            do throws(StoreError) {
                let file = try mailbox.openForReading(segment.ordinal)
                host.send(
                    .segment(
                        ordinal: segment.ordinal, byteCount: segment.byteCount,
                        previousEnd: segment.previousEnd), descriptors: [file.number])
            } catch {
                host.kill("segment \(segment.ordinal) could not be opened for it: \(error)")
                return
            }
            host.sentThrough = segment.ordinal
        }
    }
}
