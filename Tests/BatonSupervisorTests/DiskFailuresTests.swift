// When a batond does not try its disk again.

import BatonCore
import BatonSupervisor
import Testing

@Suite("Failures of the disk")
struct DiskFailuresTests {
    private typealias Mark = DiskFailures.Mark

    @Test("After the first failure it is tried again; after a second one soon after, not")
    func twice() {
        let first = DiskFailures.next(after: nil, now: 100, reason: "sync: EIO")
        #expect(first == Mark(count: 1, seconds: 100, reason: "sync: EIO"))
        #expect(DiskFailures.readOnlyReason(after: nil, now: 100) == nil)
        #expect(DiskFailures.readOnlyReason(after: first, now: 101) == nil)
        let second = DiskFailures.next(after: first, now: 101, reason: "sync: EIO")
        #expect(second.count == 2)
        let reason = DiskFailures.readOnlyReason(after: second, now: 102)
        #expect(reason?.contains("sync: EIO") == true)
    }

    @Test("What is long ago does not count, and neither does what another boot has left")
    func longAgo() {
        let later = 100 + FixedLimits.diskFailureSeconds
        let first = Mark(count: 1, seconds: 100, reason: "sync")
        #expect(DiskFailures.next(after: first, now: later, reason: "sync").count == 2)
        #expect(DiskFailures.next(after: first, now: later + 1, reason: "sync").count == 1)
        #expect(DiskFailures.next(after: first, now: 99, reason: "sync").count == 1)
        let second = Mark(count: 2, seconds: 100, reason: "sync")
        #expect(DiskFailures.readOnlyReason(after: second, now: later) != nil)
        #expect(DiskFailures.readOnlyReason(after: second, now: later + 1) == nil)
        #expect(DiskFailures.readOnlyReason(after: second, now: 99) == nil)
    }

    @Test("A mark is one line, which can be read again")
    func line() {
        let mark = DiskFailures.next(after: nil, now: 7, reason: "ping: sync:\nInput/output error")
        #expect(mark.line.filter(\.isNewline).count == 1)
        #expect(Mark(mark.line.prefix { !$0.isNewline }) == mark)
        for text in ["", "1", "1 2", "x 2 reason", "1 y reason"] { #expect(Mark(text[...]) == nil) }
    }
}
