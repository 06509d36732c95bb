// The memory that a host and the supervisor share: a page of words and a ring of outcomes. It is a
// memfd of fixed, sealed size. Used in batond (Reader) and baton-host (Writer).
//
// Each word has one writer and a cache line of its own. A host may scribble over all of it: what
// the supervisor reads from here is copied once and then checked.
//
// Whoever is about to sleep stores its flag, then looks again, both sequentially consistent; who
// has published stores, then takes the flag down. So one of the two always sees the other.

import BatonCore
import Glibc
import Synchronization

@safe package struct SharedRing: ~Copyable {
    package static let byteCount = 4096 + FixedLimits.ringBytes

    /// The words of the first page.
    package enum Word: Int {
        /// By the supervisor: the log is readable up to here (a `LogPosition`).
        case published = 1
        /// By the supervisor: counts what waits on the channel, for a host that is busy.
        case attention
        /// By the supervisor: bytes of the ring taken.
        case taken
        /// By the host: bytes of the ring written.
        case written
        /// By the host: the sequence of the message in hand, 0 if none.
        case inHand
        /// Sleep flags: set by the sleeper, taken down by who wakes it.
        case hostSleeps
        case supervisorSleeps
        /// By the host: it waits for room in the ring.
        case hostWaitsForRoom
        /// By the host: the cycle counter when the message in hand was begun, 0 if none is.
        /// `CycleClock` tells how long ago that is.
        case inHandSince
        /// By the host: how many states it has written into memory of its own. Stored before what
        /// stands in the ring is published, so that batond can make one durable beforehand.
        case largeStates
    }

    private let mapping: Mapping

    package init(_ descriptor: Int32) throws(SystemError) {
        mapping = try Mapping(descriptor, count: Self.byteCount, writable: true)
    }

    @inline(__always)
    package func word(_ word: Word) -> UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe (mapping.base + word.rawValue * 64).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    @inline(__always)
    package func load(_ word: Word) -> UInt64 {
        unsafe self.word(word).pointee.load(ordering: .acquiring)
    }
    @inline(__always)
    package func store(_ word: Word, _ value: UInt64) {
        unsafe self.word(word).pointee.store(value, ordering: .releasing)
    }

    /// Publishes `value`; returns whether the sleeper must be woken.
    @inline(__always)
    package func publish(_ word: Word, _ value: UInt64, wakes sleeper: Word) -> Bool {
        unsafe self.word(word).pointee.store(value, ordering: .sequentiallyConsistent)
        return takeDown(sleeper)
    }

    /// Takes a sleep flag down; returns whether it was up.
    @inline(__always)
    package func takeDown(_ sleeper: Word) -> Bool {
        let flag = unsafe word(sleeper)
        guard unsafe flag.pointee.load(ordering: .sequentiallyConsistent) != 0 else { return false }
        return unsafe flag.pointee.exchange(0, ordering: .sequentiallyConsistent) != 0
    }

    /// Raises a sleep flag; look again after it, with `peek`, before sleeping.
    @inline(__always)
    package func raise(_ sleeper: Word) {
        unsafe word(sleeper).pointee.store(1, ordering: .sequentiallyConsistent)
    }
    @inline(__always)
    package func peek(_ word: Word) -> UInt64 {
        unsafe self.word(word).pointee.load(ordering: .sequentiallyConsistent)
    }

    /// The ring proper: bytes from 4096 on.
    @inline(__always)
    fileprivate var ring: UnsafeMutableRawPointer { unsafe mapping.base + 4096 }
}

/// What an entry of the ring says. 16 bytes of header (length, kind, sequence) and the payload,
/// padded to 16 bytes. An entry does not wrap: `skip` fills the end of the ring, where there is
/// always room for its header, since every entry is a multiple of that.
///
/// A host publishes only where its state and its outcomes agree: after everything up to `written`
/// is taken, the cursor and the last state may be settled together.
package enum OutcomeKind: UInt32, Sendable {
    case skip = 1
    /// A message was handled; the payload is its reply.
    case reply
    /// The same; the reply is more than an entry holds, and comes in a memfd on the channel.
    case largeReply
    /// A message was handled; the payload is an error text for its sender.
    case failure
    /// A dead letter was passed over.
    case passed
    /// The state after the message of this sequence.
    case state
    /// The same, in a memfd.
    case largeState
}

private let capacity = UInt64(FixedLimits.ringBytes)
private let headerBytes: UInt64 = 16

/// The whole of an entry with a payload of `length` bytes.
@inline(__always)
private func entrySize(_ length: UInt64) -> UInt64 { headerBytes + (length + 15) & ~15 }

extension SharedRing {
    /// The largest payload of one entry.
    package static let entryBytes = FixedLimits.ringBytes / 8
    /// What has been taken is still there for so many bytes: a host writes at most half of the ring
    /// before it publishes.
    package static let readableBehind = capacity / 2
    /// With so much room an outcome and a state fit for certain, wherever the ring ends.
    private static let roomForOne = UInt64(3 * (entryBytes + 32))

    /// The host's end.
    package struct Writer: ~Copyable {
        private var written: UInt64 = 0
        private var taken: UInt64 = 0
        /// Where the last large entry ends.
        private var largeEnd: UInt64 = 0
        private var largeStates: UInt64 = 0

        package init() {}

        /// Whether one outcome and one state fit; ask before a message is handled. Memory that was
        /// sent beside the ring is room too: what is large must have been taken.
        @inline(__always)
        package mutating func hasRoom(_ shared: borrowing SharedRing) -> Bool {
            if isRoomy { return true }
            taken = shared.peek(.taken)
            return isRoomy
        }
        @inline(__always)
        private var isRoomy: Bool {
            capacity - (written - taken) >= SharedRing.roomForOne && taken >= largeEnd
        }

        /// Writes one entry, not yet published. There must be room.
        @inline(__always)
        package mutating func write(
            _ kind: OutcomeKind, sequence: UInt64, _ payload: UnsafeRawBufferPointer,
            to shared: borrowing SharedRing
        ) {
            precondition(payload.count <= SharedRing.entryBytes, "an entry's payload is bounded")
            let size = entrySize(UInt64(payload.count))
            let toEnd = capacity - written % capacity
            if size > toEnd {
                unsafe Self.header(
                    at: shared.ring + Int(written % capacity), toEnd - headerBytes, .skip, 0)
                written += toEnd
            }
            let place = unsafe shared.ring + Int(written % capacity)
            unsafe Self.header(at: place, UInt64(payload.count), kind, sequence)
            if let bytes = payload.baseAddress {
                unsafe memcpy(place + Int(headerBytes), bytes, payload.count)
            }
            written += size
            if kind == .largeReply || kind == .largeState { largeEnd = written }
            if kind == .largeState {
                largeStates += 1
                shared.store(.largeStates, largeStates)
            }
        }

        private static func header(
            at place: UnsafeMutableRawPointer, _ length: UInt64, _ kind: OutcomeKind,
            _ sequence: UInt64
        ) {
            unsafe place.storeBytes(of: UInt32(length), as: UInt32.self)
            unsafe place.storeBytes(of: kind.rawValue, toByteOffset: 4, as: UInt32.self)
            unsafe place.storeBytes(of: sequence, toByteOffset: 8, as: UInt64.self)
        }

        /// Makes what was written visible; returns whether the supervisor must be woken.
        package mutating func publish(_ shared: borrowing SharedRing) -> Bool {
            shared.publish(.written, written, wakes: .supervisorSleeps)
        }
    }

    /// The supervisor's end.
    package struct Reader: ~Copyable {
        private var taken: UInt64 = 0
        private var written: UInt64 = 0
        /// Up to here replies may be taken without another look: to `written`, or nowhere if that makes
        /// no sense.
        private var sound: UInt64 = 0

        @safe package enum Step {
            case empty
            /// The payload is valid until `finish`. The host may still change it: copy, then check.
            case entry(OutcomeKind, sequence: UInt64, UnsafeRawBufferPointer)
            /// What stands there was never written by an honest host.
            case violation(String)
        }

        package init() {}

        /// For what was taken before, as long as it has not been written over.
        package init(from position: UInt64, to end: UInt64) {
            taken = position
            written = end
            sound = Self.sound(position, end)
        }

        private static func sound(_ taken: UInt64, _ written: UInt64) -> UInt64 {
            written &- taken <= capacity ? written : taken
        }

        /// Up to where entries have been taken.
        package var position: UInt64 { taken }

        /// Walks what `begin` has seen, without taking it.
        package var ahead: Reader { Reader(from: taken, to: written) }

        /// Looks once for what there is; `next` then walks it.
        package mutating func begin(_ shared: borrowing SharedRing) {
            written = shared.load(.written)
            sound = Self.sound(taken, written)
        }

        package mutating func next(_ shared: borrowing SharedRing) -> Step {
            while true {
                let available = written &- taken
                if available == 0 { return .empty }
                let toEnd = capacity - taken % capacity
                guard available <= capacity, available >= headerBytes else {
                    return .violation("the ring's counters make no sense")
                }
                let place = unsafe shared.ring + Int(taken % capacity)
                let length = UInt64(unsafe place.load(as: UInt32.self))
                let kind = OutcomeKind(
                    rawValue: unsafe place.load(fromByteOffset: 4, as: UInt32.self))
                let sequence = unsafe place.load(fromByteOffset: 8, as: UInt64.self)
                let size = entrySize(length)
                guard size <= toEnd, size <= available, let kind else {
                    return .violation(
                        "there is no entry of the ring at \(taken) (length \(length), \(available) bytes written)"
                    )
                }
                taken += size
                if kind == .skip { continue }
                return unsafe .entry(
                    kind, sequence: sequence,
                    UnsafeRawBufferPointer(start: place + Int(headerBytes), count: Int(length)))
            }
        }

        /// The next entry's payload, taken only if it is the reply to message `sequence` that is due;
        /// anything else is left for `next`. The path of almost every message.
        @inline(__always)
        package mutating func nextReply(_ sequence: UInt64, _ shared: borrowing SharedRing)
            -> UnsafeRawBufferPointer?
        {
            let toEnd = capacity - taken % capacity
            guard sound &- taken >= headerBytes else { return nil }
            let place = unsafe shared.ring + Int(taken % capacity)
            let length = UInt64(unsafe place.load(as: UInt32.self))
            let size = entrySize(length)
            guard
                unsafe place.load(fromByteOffset: 4, as: UInt32.self) == OutcomeKind.reply.rawValue,
                unsafe place.load(fromByteOffset: 8, as: UInt64.self) == sequence,
                size <= toEnd, size <= sound &- taken
            else { return nil }
            taken += size
            return unsafe UnsafeRawBufferPointer(
                start: place + Int(headerBytes), count: Int(length))
        }

        /// Gives the room back; returns whether the host waits for it.
        package mutating func finish(_ shared: borrowing SharedRing) -> Bool {
            shared.publish(.taken, taken, wakes: .hostWaitsForRoom)
        }

        /// Whether there is something to take, looked at with a raised flag.
        package func isBehind(_ shared: borrowing SharedRing) -> Bool {
            shared.peek(.written) != taken
        }
    }
}
