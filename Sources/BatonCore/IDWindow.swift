// The ids that clients gave to their messages, each with what has come of its message: so that one that
// is sent again is known, and gets the recorded answer. Pure; used in batond.
//
// It is part of what a mailbox knows (MailboxMachine): every change is an event of the log, and what is
// forgotten is said in it too, so that recovery comes to the same window, whatever its limits are by then.
//
// Invariants: entries stand in the order of their messages; a key leads to the last message that bears
// it; only what is settled is forgotten. An answer counts once the cursor has passed its message.

package struct IDWindow: Sendable {
    /// Who has sent a message, and the name that he gave it.
    package struct Key: Hashable, Sendable {
        package var client: [UInt8]
        package var id: [UInt8]
        package init(client: [UInt8], id: [UInt8]) {
            self.client = client
            self.id = id
        }
    }

    /// What is known of a message when it comes.
    package struct Identity: Equatable, Sendable {
        package var key: Key
        /// Of its bytes: the first half of their SHA-256.
        package var digest: UInt128
        /// Milliseconds since 1970.
        package var at: UInt64
        package init(key: Key, digest: UInt128, at: UInt64) {
            self.key = key
            self.digest = digest
            self.at = at
        }
    }

    /// What its sender is told.
    package enum Answer: Equatable, Sendable {
        case reply([UInt8])
        case error(code: String, text: String)

        package var byteCount: Int {
            switch self {
            case .reply(let bytes): bytes.count
            case .error(let code, let text): code.utf8.count + 1 + text.utf8.count
            }
        }
    }

    package struct Entry: Sendable {
        package var sequence: UInt64
        package var identity: Identity
        package var answer: Answer?
        /// When it was answered, milliseconds since 1970; `nil` if not yet, or in an earlier life.
        package fileprivate(set) var answeredAt: UInt64?
        package init(sequence: UInt64, identity: Identity, answer: Answer?) {
            self.sequence = sequence
            self.identity = identity
            self.answer = answer
        }

        /// In a base record.
        package var byteCount: Int {
            8 + 1 + identity.key.client.count + 1 + identity.key.id.count + 16 + 8 + 1
                + (answer.map { 4 + $0.byteCount } ?? 0)
        }
    }

    /// How much is remembered.
    package struct Bounds: Equatable, Sendable {
        package var count: Int
        /// Of all entries, answers included.
        package var bytes: Int
        package var ageMilliseconds: UInt64
        package init(count: Int, bytes: Int, ageMilliseconds: UInt64) {
            self.count = count
            self.bytes = bytes
            self.ageMilliseconds = ageMilliseconds
        }
    }

    private var entries: [Entry] = []
    /// Those before it are forgotten.
    private var head = 0
    private var sequences: [Key: UInt64] = [:]
    package private(set) var byteCount = 0
    /// When this life began, milliseconds since 1970: the age of what an earlier one has answered
    /// counts from here, since the log does not say when that was.
    package var begun: UInt64 = 0

    package init() {}
}

extension IDWindow.Entry: Equatable {
    /// What the log says of it.
    package static func == (one: IDWindow.Entry, other: IDWindow.Entry) -> Bool {
        one.sequence == other.sequence && one.identity == other.identity
            && one.answer == other.answer
    }
}

extension IDWindow: Equatable {
    package static func == (one: IDWindow, other: IDWindow) -> Bool {
        one.all == other.all
    }
}

extension IDWindow {
    package var isEmpty: Bool { head == entries.count }
    package var count: Int { entries.count - head }
    /// The oldest first.
    package var all: ArraySlice<Entry> { entries[head...] }

    package func entry(of key: Key) -> Entry? { sequences[key].flatMap(entry(of:)) }

    package func entry(of sequence: UInt64) -> Entry? {
        let index = index(notBefore: sequence)
        guard index < entries.count, entries[index].sequence == sequence else { return nil }
        return entries[index]
    }

    /// The next message behind `sequence` that bears an id.
    @inline(__always)
    package func next(after sequence: UInt64) -> UInt64? {
        guard !isEmpty, let last = entries.last, last.sequence > sequence else { return nil }
        let index = index(notBefore: sequence + 1)
        return index < entries.count ? entries[index].sequence : nil
    }

    /// Whether so much time has passed since the message was answered that it counts as new.
    package func isPast(_ entry: Entry, at now: UInt64, _ bounds: Bounds) -> Bool {
        let answered = entry.answeredAt ?? max(begun, entry.identity.at)
        return now > answered && now - answered > bounds.ageMilliseconds
    }

    /// Up to which message ids are to be forgotten, so that `added` bytes more, and one entry if
    /// `isEntry`, keep within the bounds; 0 for none. What is not settled stays.
    package func forgettable(
        adding added: Int, isEntry: Bool, settled: UInt64, at now: UInt64, _ bounds: Bounds
    ) -> UInt64 {
        var (index, bytes, through) = (head, byteCount + added, UInt64(0))
        while index < entries.count {
            let entry = entries[index]
            let left = entries.count - index + (isEntry ? 1 : 0)
            guard entry.sequence <= settled,
                left > bounds.count || bytes > bounds.bytes
                    || isPast(entry, at: now, bounds)
            else { break }
            through = entry.sequence
            bytes -= entry.byteCount
            index += 1
        }
        return through
    }

    // MARK: Events

    /// A message with an id has come. `false` if it does not follow those that are known.
    package mutating func remember(
        _ identity: Identity, sequence: UInt64, forgetting through: UInt64
    ) -> Bool {
        guard sequence > entries.last?.sequence ?? 0, through < sequence else { return false }
        forget(through)
        append(Entry(sequence: sequence, identity: identity, answer: nil))
        return true
    }

    /// What its sender is told. `false` if the message is not remembered.
    /// - Parameter at: milliseconds since 1970; `nil` in an earlier life.
    package mutating func answer(
        _ sequence: UInt64, _ answer: Answer, at: UInt64?, forgetting through: UInt64
    ) -> Bool {
        forget(through)
        let index = index(notBefore: sequence)
        guard index < entries.count, entries[index].sequence == sequence else { return false }
        byteCount -= entries[index].byteCount
        entries[index].answer = answer
        entries[index].answeredAt = at
        byteCount += entries[index].byteCount
        return true
    }

    /// From a base record. `false` if it does not follow those that are known.
    package mutating func restore(_ entry: Entry) -> Bool {
        guard entry.sequence > entries.last?.sequence ?? 0 else { return false }
        append(entry)
        return true
    }

    // MARK: What follows

    private mutating func append(_ entry: Entry) {
        entries.append(entry)
        sequences[entry.identity.key] = entry.sequence
        byteCount += entry.byteCount
    }

    private mutating func forget(_ through: UInt64) {
        while head < entries.count, entries[head].sequence <= through {
            let entry = entries[head]
            if sequences[entry.identity.key] == entry.sequence {
                sequences[entry.identity.key] = nil
            }
            byteCount -= entry.byteCount
            // What it holds goes now, its place with the next compaction.
            entries[head].answer = nil
            head += 1
        }
        if head == entries.count {
            entries.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 1024, head > entries.count / 2 {
            entries.removeFirst(head)
            head = 0
        }
    }

    private func index(notBefore sequence: UInt64) -> Int {
        var (low, high) = (head, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
