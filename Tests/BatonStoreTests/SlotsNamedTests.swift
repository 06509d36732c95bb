// Which slots must stay as they are, against every end that a log that is not synced may come to.

import BatonStore
import Testing

@Suite("The slots that records name")
struct SlotsNamedTests {
    /// A log as a list of what each record says, and how far it is flushed, being synced, durable.
    private struct Log {
        var named: [Set<UInt8>] = [[]]
        var flushed = 0
        var syncing: Int?
        var durable = 0

        /// Of any record that recovery may end at.
        var all: Set<UInt8> { named[durable...].reduce([]) { $0.union($1) } }
    }

    @Test("None that a recovery may come to is free; after a sync of all, no other is held")
    func everyEnd() {
        var generator = SeededGenerator(state: 4)
        for _ in 0..<300 {
            var log = Log()
            var slots = SlotsNamed([])
            for _ in 0..<60 {
                switch Int.random(in: 0..<4, using: &generator) {
                case 0:
                    let state = UInt8.random(in: 0..<3, using: &generator)
                    let fallback = UInt8.random(in: 0..<3, using: &generator)
                    log.named.append(Bool.random(using: &generator) ? [state] : [state, fallback])
                    slots.note(log.named[log.named.count - 1])
                case 1:
                    log.flushed = log.named.count - 1
                    slots.flushed(log.named[log.flushed])
                case 2:
                    guard log.syncing == nil else { break }
                    log.syncing = log.flushed
                    slots.syncBegins()
                default:
                    guard let syncing = log.syncing else { break }
                    log.syncing = nil
                    log.durable = syncing
                    slots.syncEnds()
                }
                #expect(slots.all.isSuperset(of: log.all), "\(log)")
            }
            let last = log.named[log.named.count - 1]
            if log.syncing != nil { slots.syncEnds() }
            slots.flushed(last)
            slots.syncBegins()
            slots.syncEnds()
            #expect(slots.all == last)
        }
    }
}
