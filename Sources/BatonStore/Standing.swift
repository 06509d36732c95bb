// What a mailbox knows besides its messages: the cursor, the state, the release, attempts and dead
// letters. It is what the records say, applied in order; the first batch of each segment begins with
// all of it (a base record), so that no older segment is needed for it. Used in batond.

import BatonCore

package struct Standing: Equatable, Sendable {
    /// Which image handles messages.
    package struct Release: Equatable, Sendable {
        package var digest: ImageDigest
        package var version: String
        package init(digest: ImageDigest, version: String) {
            self.digest = digest
            self.version = version
        }
    }

    /// The service's state and the version whose code made it.
    package struct State: Equatable, Sendable {
        package var bytes: [UInt8]
        package var version: String
        package init(bytes: [UInt8], version: String) {
            self.bytes = bytes
            self.version = version
        }
    }

    /// Everything up to here is settled.
    package var settled = SequenceNumber.none
    package var state: State?
    package var release: Release?
    /// The last message before the last switch.
    package var switchedAfter = SequenceNumber.none
    package var upgrades: UInt64 = 0
    /// Failed attempts at messages that are not settled.
    package var attempts: [UInt64: UInt32] = [:]
    /// Messages set aside: those not yet passed by the cursor, and in number all of them.
    package var dead: Set<UInt64> = []
    package var deadLetters: UInt64 = 0

    package init() {}

    mutating func settle(upTo sequence: SequenceNumber, state bytes: [UInt8]?) {
        settled = sequence
        if let bytes { state = State(bytes: bytes, version: release?.version ?? "") }
        if !attempts.isEmpty { attempts = attempts.filter { $0.key > sequence.value } }
        if !dead.isEmpty { dead = dead.filter { $0 > sequence.value } }
    }

    mutating func switchTo(_ new: Release, after sequence: SequenceNumber) {
        if release != nil { upgrades += 1 }
        release = new
        switchedAfter = sequence
    }

    mutating func bury(_ sequence: UInt64) {
        if dead.insert(sequence).inserted { deadLetters += 1 }
    }

    /// The payload of a base record.
    func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(settled.value)
        writer.put(switchedAfter.value)
        writer.put(upgrades)
        writer.put(deadLetters)
        writer.put(UInt8((release == nil ? 0 : 1) | (state == nil ? 0 : 2)))
        if let release {
            writer.put(raw: release.digest.bytes)
            writer.put(short: release.version)
        }
        if let state {
            writer.put(short: state.version)
            writer.put(long: state.bytes)
        }
        writer.put(UInt32(attempts.count))
        for (sequence, count) in attempts.sorted(by: { $0.key < $1.key }) {
            writer.put(sequence)
            writer.put(count)
        }
        writer.put(UInt32(dead.count))
        for sequence in dead.sorted() { writer.put(sequence) }
        return writer.bytes
    }

    init?(_ payload: UnsafeRawBufferPointer) {
        var reader = unsafe PayloadReader(payload)
        guard let settled = reader.integer(UInt64.self),
            let switched = reader.integer(UInt64.self), let upgrades = reader.integer(UInt64.self),
            let deadLetters = reader.integer(UInt64.self), let has = reader.integer(UInt8.self)
        else { return nil }
        self.settled = SequenceNumber(settled)
        self.switchedAfter = SequenceNumber(switched)
        self.upgrades = upgrades
        self.deadLetters = deadLetters
        if has & 1 != 0 {
            guard let release = Release(&reader) else { return nil }
            self.release = release
        }
        if has & 2 != 0 {
            guard let version = reader.short(), let bytes = reader.long() else { return nil }
            state = State(bytes: bytes, version: version)
        }
        guard let attemptCount = reader.integer(UInt32.self) else { return nil }
        for _ in 0..<attemptCount {
            guard let sequence = reader.integer(UInt64.self),
                let count = reader.integer(UInt32.self)
            else { return nil }
            attempts[sequence] = count
        }
        guard let deadCount = reader.integer(UInt32.self) else { return nil }
        for _ in 0..<deadCount {
            guard let sequence = reader.integer(UInt64.self) else { return nil }
            dead.insert(sequence)
        }
    }
}

extension Standing.Release {
    /// The payload of a switch record.
    func encoded() -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(raw: digest.bytes)
        writer.put(short: version)
        return writer.bytes
    }

    init?(_ reader: inout PayloadReader) {
        guard let bytes = reader.raw(ImageDigest.byteCount), let digest = ImageDigest(bytes),
            let version = reader.short()
        else { return nil }
        self.init(digest: digest, version: version)
    }
}
