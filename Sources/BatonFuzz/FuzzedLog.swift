// The log whose files the fuzzer changes: two segments with a record of each kind, and two slots. Runs
// in the fuzzer.

import BatonCore
import BatonStore

enum FuzzedLog {
    static func write(_ service: ServiceName, _ path: String) throws(StoreError) {
        var report = Recovery.Report()
        var mailbox = try Recovery.open(
            service: service, path: path, byteLimit: 1 << 20, variant: .small, report: &report)
        try mailbox.switchTo(release(1))
        try append(3, to: &mailbox)
        try append(40, id: 1, to: &mailbox)
        try mailbox.settle(upTo: SequenceNumber(1), state: [1, 2, 3], format: 7)
        try mailbox.flush()
        _ = try mailbox.recordAttempt(at: SequenceNumber(2))
        try answer(2, .error(code: "POISON", text: "it kills"), in: &mailbox)
        try mailbox.bury(
            SequenceNumber(2), attempts: 1, version: "1", at: 5, bytes: [9, 9, 9])
        try sync(&mailbox)
        try mailbox.switchTo(release(2))
        while mailbox.readable.segment == 1 {
            try append(900, to: &mailbox)
            try mailbox.flush()
        }
        try append(7, id: 2, to: &mailbox)
        try mailbox.settle(upTo: SequenceNumber(3), state: [4])
        _ = try mailbox.forget(SequenceNumber(2))
        try mailbox.flush()
        try checkpoint([1, 2, 3, 4, 5], of: &mailbox)
        try answer(mailbox.appended.value, .reply([6, 6]), in: &mailbox)
        try sync(&mailbox)
        try checkpoint([6, 7, 8], of: &mailbox)
        try mailbox.switchTo(release(3))
        try mailbox.confirm()
        try append(10, id: 3, to: &mailbox)
        try append(10, to: &mailbox)
        try mailbox.flush()
    }

    private static let ids = IDWindow.Bounds(count: 5, bytes: 1000, ageMilliseconds: 1 << 40)

    private static func append(_ count: Int, id: UInt8? = nil, to mailbox: inout Mailbox)
        throws(StoreError)
    {
        let identity = id.map {
            IDWindow.Identity(
                key: IDWindow.Key(client: [1, 2], id: [$0]), digest: UInt128($0), at: 5)
        }
        let result = unsafe [UInt8](repeating: 5, count: count).withUnsafeBytes { bytes in
            Result { () throws(StoreError) in
                if let identity {
                    _ = try unsafe mailbox.append(bytes, as: identity, within: ids)
                } else {
                    _ = try unsafe mailbox.append(bytes)
                }
            }
        }
        try result.get()
    }

    private static func answer(
        _ sequence: UInt64, _ answer: IDWindow.Answer, in mailbox: inout Mailbox
    ) throws(StoreError) {
        try mailbox.answer(SequenceNumber(sequence), answer, at: 6, within: ids)
    }

    /// The state after the first message that waits, in a slot.
    private static func checkpoint(_ state: [UInt8], of mailbox: inout Mailbox) throws(StoreError) {
        guard let order = mailbox.checkpointOrder(.bytes(state)),
            case .checkpoint(_, .success(let written)) = DiskJob.perform(
                .checkpoint(mailbox.service, order))
        else { preconditionFailure("a slot cannot be written") }
        try mailbox.settle(upTo: mailbox.standing.settled.next, written: written, format: 1)
        try mailbox.flush()
    }

    private static func sync(_ mailbox: inout Mailbox) throws(StoreError) {
        try mailbox.flush()
        _ = mailbox.takeSync()
        try mailbox.synced()
    }

    private static func release(_ number: UInt8) -> MailboxMachine.Switch {
        guard let digest = ImageDigest([UInt8](repeating: number, count: 32)) else {
            preconditionFailure("32 bytes")
        }
        return MailboxMachine.Switch(
            release: MailboxMachine.Release(digest: digest, version: "\(number)"),
            cause: .upgrade, at: 8, bootID: [1, 2], state: nil, dropsState: false)
    }
}
