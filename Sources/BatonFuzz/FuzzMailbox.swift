// A mailbox's files with bytes changed, and the checksums made good again, so that what is behind them
// is reached: opened, or refused with nothing changed, and what was opened opens again. Runs in the
// fuzzer.

import BatonCore
import BatonLinux
import BatonStore
import CLinux

enum FuzzMailbox {
    private static let path: String = {
        // Made by recovery.
        ScratchFiles.directory + "/mailbox"
    }()
    private static let names = ["0000000001.segment", "0000000002.segment"]
    /// The log that is changed.
    private static let files: [[UInt8]] = {
        do throws(StoreError) { try write() } catch { preconditionFailure("\(error)") }
        return names.map { ScratchFiles.read("\(path)/\($0)") }
    }()

    /// The first byte: which checksums are made good, of records (bit 0) and of segments (bit 1). Then
    /// changes of four bytes: where (two bytes, over both segments), what is put there, and how: as
    /// it is, or by exclusive or.
    static func run(_ bytes: UnsafeRawBufferPointer) {
        guard let mends = unsafe bytes.first else { return }
        var changed = files
        for change in stride(from: 1, through: bytes.count - 4, by: 4) {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: change, as: UInt16.self)
            let (value, how) = unsafe (bytes[change + 2], bytes[change + 3])
            var place = Int(word)
            for index in changed.indices {
                if changed[index].indices.contains(place) {
                    changed[index][place] = how & 1 == 0 ? value : changed[index][place] ^ value
                    break
                }
                place -= changed[index].count
            }
        }
        if mends & 1 == 1 { mendRecords(&changed) }
        if mends & 2 == 2 {
            for index in changed.indices { changed[index].put(crc: 0, of: 0..<76, at: 76) }
        }
        restore(changed)
        guard let found = open() else {
            for (name, bytes) in zip(names, changed) {
                let isUnchanged = ScratchFiles.read("\(path)/\(name)") == bytes
                precondition(isUnchanged, "what was refused was changed")
            }
            return
        }
        precondition(open() == found, "it opens as something else")
    }

    private struct Found: Equatable {
        var appended: SequenceNumber
        var standing: MailboxMachine
    }

    private static func open() -> Found? {
        guard let service = ServiceName("fuzz") else { return nil }
        var report = Recovery.Report()
        do throws(StoreError) {
            var mailbox = try Recovery.open(
                service: service, path: path, byteLimit: 1 << 20, variant: .small, report: &report)
            var next = mailbox.oldestKept
            for _ in 0..<20 where next <= mailbox.appended {
                _ = try? mailbox.message(next)
                next = next.next
            }
            return Found(appended: mailbox.appended, standing: mailbox.standing)
        } catch { return nil }
    }

    private static func restore(_ files: [[UInt8]]) {
        for name in (try? DirectoryListing.names(path)) ?? [] where !names.contains(name) {
            try? SegmentFile.remove("\(path)/\(name)", in: .directory(path))
        }
        for (name, bytes) in zip(names, files) { ScratchFiles.write(bytes, "\(path)/\(name)") }
    }

    // MARK: The log

    /// Two segments with a record of each kind.
    private static func write() throws(StoreError) {
        guard let service = ServiceName("fuzz") else { return }
        var report = Recovery.Report()
        var mailbox = try Recovery.open(
            service: service, path: path, byteLimit: 1 << 20, variant: .small, report: &report)
        try mailbox.switchTo(release(1))
        try append(3, to: &mailbox)
        try append(40, to: &mailbox)
        try mailbox.settle(upTo: SequenceNumber(1), state: [1, 2, 3], format: 7)
        try mailbox.flush()
        _ = try mailbox.recordAttempt(at: SequenceNumber(2))
        try mailbox.bury(
            SequenceNumber(2), attempts: 1, version: "1", at: 5, bytes: [9, 9, 9])
        try mailbox.flush()
        _ = mailbox.takeSync()
        try mailbox.synced()
        try mailbox.switchTo(release(2))
        while mailbox.readable.segment == 1 {
            try append(900, to: &mailbox)
            try mailbox.flush()
        }
        try mailbox.settle(upTo: SequenceNumber(3), state: [4])
        _ = try mailbox.forget(SequenceNumber(2))
        try mailbox.flush()
        try mailbox.switchTo(release(3))
        try mailbox.confirm()
        try append(10, to: &mailbox)
        try mailbox.flush()
    }

    private static func append(_ count: Int, to mailbox: inout Mailbox) throws(StoreError) {
        var failed: StoreError?
        unsafe [UInt8](repeating: 5, count: count).withUnsafeBytes { bytes in
            do throws(StoreError) { _ = try unsafe mailbox.append(bytes) } catch { failed = error }
        }
        if let failed { throw failed }
    }

    private static func release(_ number: UInt8) -> MailboxMachine.Switch {
        guard let digest = ImageDigest([UInt8](repeating: number, count: 32)) else {
            preconditionFailure("32 bytes")
        }
        return MailboxMachine.Switch(
            release: MailboxMachine.Release(digest: digest, version: "\(number)"),
            cause: .upgrade, at: 8, bootID: [1, 2], state: nil, dropsState: false)
    }

    // MARK: Checksums

    /// Of the records where they stood, and the chain of the batches.
    private static func mendRecords(_ changed: inout [[UInt8]]) {
        for index in changed.indices {
            let seed = (changed[index][60..<76] + changed[index][20..<24]).crc(0)
            var chain = changed[index].word(at: 56)
            for offset in starts(of: files[index]) {
                if changed[index][offset] == 1 { changed[index].put(chain, at: offset + 48) }
                let count = Int(changed[index].word(at: offset + 4))
                if count <= changed[index].count - offset - 32 {
                    let payload = offset + 32..<offset + 32 + count
                    changed[index].put(crc: 0, of: payload, at: offset + 24)
                }
                let place = seed ^ (UInt32(offset) &* 0x9e37_79b1)
                changed[index].put(crc: place, of: offset..<offset + 28, at: offset + 28)
                if changed[index][offset] == 1 { chain = changed[index].word(at: offset + 28) }
            }
        }
    }

    private static func starts(of file: [UInt8]) -> [Int] {
        var starts: [Int] = []
        var offset = 4096
        while offset + 32 <= file.count, file[offset] != 0 {
            starts.append(offset)
            offset += 32 + (Int(file.word(at: offset + 4)) + 7) & ~7
        }
        return starts
    }
}

extension [UInt8] {
    fileprivate func word(at offset: Int) -> UInt32 {
        unsafe withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }
    fileprivate mutating func put(_ word: UInt32, at offset: Int) {
        unsafe withUnsafeMutableBytes {
            unsafe $0.storeBytes(of: word, toByteOffset: offset, as: UInt32.self)
        }
    }
    fileprivate mutating func put(crc seed: UInt32, of range: Range<Int>, at offset: Int) {
        put(self[range].crc(seed), at: offset)
    }
}

extension Sequence<UInt8> {
    fileprivate func crc(_ seed: UInt32) -> UInt32 {
        unsafe Array(self).withUnsafeBytes { unsafe baton_crc32c(seed, $0.baseAddress, $0.count) }
    }
}
