// What the readable records of a damaged log add up to. Used in `batond repair`, by Salvage.

import BatonCore

struct SalvagedContent {
    /// It knows what a record means.
    private var log: Recovery
    /// The messages that are there, in order, those in a row together.
    private var found: [ClosedRange<UInt64>] = []
    /// Up to here messages were settled once, whether or not that counts now.
    private(set) var settledOnce = SequenceNumber.none
    /// Whether the state is the one that belongs to the cursor.
    private(set) var isExact = true
    private(set) var isHoleLast = false
    /// Whether there was not a single record.
    private(set) var isEmpty = true
    /// Whether the last switch was seen with the state that was before it.
    private(set) var isFallbackKnown = true

    init(_ log: Recovery) { self.log = log }

    var standing: MailboxMachine { log.standing }
    /// The last message before those that are there.
    var beforeFirst: SequenceNumber? { found.first.map { SequenceNumber($0.lowerBound - 1) } }
    var appended: SequenceNumber { SequenceNumber(log.nextSequence - 1) }

    mutating func add(_ item: DamagedReading.Item) {
        isHoleLast = false
        switch item {
        case .record(let record, let payload):
            isEmpty = false
            unsafe add(record, payload)
        case .lost(let record): lose(record)
        case .next(let sequence): log.nextSequence = max(log.nextSequence, sequence)
        case .hole:
            isHoleLast = true
            isExact = false
        case .lostEmpty:
            // It may have made the state empty, but not have made one where there was none.
            isExact = isExact && standing.state == nil
        }
    }

    private mutating func lose(_ record: Record) {
        if record.kind == .message {
            log.nextSequence = max(log.nextSequence, record.sequence + 1)
        } else if record.kind == .settle {
            noteSettled(record.sequence)
            isExact = false
        } else if record.kind == .switch || record.kind == .base {
            isExact = false
        }
    }

    private mutating func noteSettled(_ sequence: UInt64) {
        settledOnce = max(settledOnce, SequenceNumber(sequence))
        log.nextSequence = max(log.nextSequence, sequence + 1)
    }

    private mutating func add(_ record: Record, _ payload: UnsafeRawBufferPointer) {
        if record.kind == .message {
            guard record.sequence >= log.nextSequence else { return }
            log.nextSequence = record.sequence
            if let last = found.last, last.upperBound + 1 == record.sequence {
                found[found.count - 1] = last.lowerBound...record.sequence
            } else {
                found.append(record.sequence...record.sequence)
            }
            _ = unsafe log.apply(record, payload)
        } else if record.kind == .settle {
            noteSettled(record.sequence)
            let hasState = record.flags & (Record.hasState | Record.namesSlot) != 0
            guard isExact || hasState else { return }
            if unsafe log.apply(record, payload), hasState { isExact = true }
        } else if record.kind == .base {
            noteSettled(record.sequence)
            if unsafe log.apply(record, payload) {
                isExact = true
                isFallbackKnown = true
            }
        } else if record.kind == .switch {
            noteSettled(record.sequence)
            unsafe add(switchTo: payload, at: SequenceNumber(record.sequence))
        } else {
            _ = unsafe log.apply(record, payload)
        }
    }

    private mutating func add(
        switchTo payload: UnsafeRawBufferPointer, at cursor: SequenceNumber
    ) {
        var isFinal = false
        guard let new = unsafe MailboxMachine.Switch(payload, isFinal: &isFinal) else { return }
        let carriesState = new.state != nil || new.dropsState
        isFallbackKnown = isExact && standing.settled == cursor
        if isExact || carriesState, cursor >= standing.settled {
            _ = log.standing.settle(upTo: cursor, state: nil, format: 0)
        }
        log.standing.apply(new)
        if isFinal { _ = log.standing.confirm() }
        if carriesState { isExact = true }
    }

    /// The messages of a range that are not there.
    func missing(after first: SequenceNumber, through last: SequenceNumber)
        -> [ClosedRange<UInt64>]
    {
        var missing: [ClosedRange<UInt64>] = []
        var next = first.value + 1
        for range in found where range.upperBound >= next {
            guard next <= last.value else { break }
            if range.lowerBound > next {
                missing.append(next...min(range.lowerBound - 1, last.value))
            }
            next = range.upperBound + 1
        }
        if next <= last.value { missing.append(next...last.value) }
        return missing
    }
}
