// A mailbox's files with bytes changed, and the checksums made good again, so that what is behind them
// is reached: opened, or refused with nothing changed, and what was opened opens again; or looked at and
// repaired, as `baton check` and `baton repair` do. Runs in the fuzzer.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Glibc
import Synchronization

enum FuzzMailbox {
    private static let path = ScratchFiles.directory + "/mailbox"
    private static let repairedPath = ScratchFiles.directory + "/repaired"
    private static let segments = ["0000000001.segment", "0000000002.segment"]
    private static let slots = ["checkpoint.a", "checkpoint.b"]
    private static let names = segments + slots
    private static let service: ServiceName = {
        guard let service = ServiceName("fuzz") else { preconditionFailure("a good name") }
        return service
    }()
    /// What is changed: the log, and behind it the slots.
    private static let files: [[UInt8]] = {
        do throws(StoreError) { try FuzzedLog.write(service, path) } catch {
            preconditionFailure("\(error)")
        }
        let left = (try? DirectoryListing.names(path)) ?? []
        precondition(Set(names).isSubset(of: left), "of \(names) there is \(left)")
        return names.map { ScratchFiles.read("\(path)/\($0)") }
    }()
    /// Held by who uses the files: tests of both entries run at a time. Which slots are not as they were at
    /// first; they are large, and mostly stay so.
    private static let changedSlots = Mutex<Set<String>>([])

    /// Opens it.
    static func open(_ bytes: UnsafeRawBufferPointer) {
        unsafe withFiles(changedBy: bytes) { changed in
            guard let found = find(in: path) else {
                expectUnchanged(changed)
                return
            }
            precondition(find(in: path) == found, "it opens as something else")
        }
    }

    /// Repairs it: what was repaired opens, and has lost no more than was said.
    static func repair(_ bytes: UnsafeRawBufferPointer) {
        unsafe withFiles(changedBy: bytes) { changed in
            repair()
            expectUnchanged(changed)
        }
    }

    private static func repair() {
        _ = Survey(service, path: path)
        do throws(StoreError) {
            var salvage = try Salvage(service, path: path)
            let (waiting, appended) = (salvage.waitingCount, salvage.appended)
            try salvage.write(to: repairedPath)
            guard let found = find(in: repairedPath) else {
                preconditionFailure("what was repaired does not open")
            }
            let unsettled = found.appended.distance(from: found.standing.settled)
            precondition(
                found.appended == appended && unsettled >= waiting, "it keeps less than it said")
        } catch {}
        for name in (try? DirectoryListing.names(repairedPath)) ?? [] {
            _ = unsafe unlink("\(repairedPath)/\(name)")
        }
        _ = unsafe rmdir(repairedPath)
    }

    private static func withFiles(
        changedBy bytes: UnsafeRawBufferPointer, _ use: ([[UInt8]]) -> Void
    ) {
        guard let changed = unsafe change(bytes) else { return }
        changedSlots.withLock { slots in
            restore(changed, changedSlots: &slots)
            use(changed)
        }
    }

    private static func expectUnchanged(_ changed: [[UInt8]]) {
        for (name, bytes) in zip(names, changed) {
            let isUnchanged = isSame(ScratchFiles.read("\(path)/\(name)"), bytes)
            precondition(isUnchanged, "what was refused was changed")
        }
    }

    /// The first byte: which checksums are made good, of records (bit 0) and of headers (bit 1). Then
    /// changes of four bytes: where (two bytes, over what is read of all files), what is put there, and
    /// how: as it is, or by exclusive or.
    private static func change(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]]? {
        guard let mends = unsafe bytes.first else { return nil }
        var changed = files
        for change in stride(from: 1, through: bytes.count - 4, by: 4) {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: change, as: UInt16.self)
            let (value, how) = unsafe (bytes[change + 2], bytes[change + 3])
            let (index, offset) = places[Int(word) % places.count]
            changed[index][offset] = how & 1 == 0 ? value : changed[index][offset] ^ value
        }
        if mends & 1 == 1 { mendRecords(&changed) }
        if mends & 2 == 2 {
            for index in segments.indices {
                changed[index].put(crc: 0, of: 0..<76, at: 76)
                changed[index].put(crc: seed(of: changed[index]), of: 512..<520, at: 520)
            }
            for index in segments.count..<names.count {
                changed[index].put(crc: 0, of: 0..<48, at: 48)
            }
        }
        return changed
    }

    /// What is read of the files: headers, and what lies behind their pages.
    private static let places: [(index: Int, offset: Int)] = {
        files.indices.flatMap { index in
            let isSlot = index >= segments.count
            let read = [
                0..<80, 512..<(isSlot ? 512 : 524), 4096..<(isSlot ? 4104 : files[index].count),
            ]
            return read.joined().map { (index, $0) }
        }
    }()

    private static func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        unsafe one.count == other.count && memcmp(one, other, one.count) == 0
    }

    private struct Found: Equatable {
        var appended: SequenceNumber
        var standing: MailboxMachine
    }

    private static func find(in path: String) -> Found? {
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

    private static func restore(_ files: [[UInt8]], changedSlots: inout Set<String>) {
        for name in (try? DirectoryListing.names(path)) ?? [] where !names.contains(name) {
            _ = unsafe unlink("\(path)/\(name)")
        }
        for (index, name) in names.enumerated() {
            let isSlot = index >= segments.count
            let isAtFirst = isSlot && isSame(files[index], self.files[index])
            let wasChanged =
                isSlot && !isAtFirst
                ? !changedSlots.insert(name).inserted : changedSlots.remove(name) != nil
            if isAtFirst, !wasChanged { continue }
            ScratchFiles.write(files[index], "\(path)/\(name)")
        }
    }

    // MARK: Checksums

    /// Of the records where they stood, and the chain of the batches.
    private static func mendRecords(_ changed: inout [[UInt8]]) {
        for index in segments.indices {
            let seed = seed(of: changed[index])
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

    private static func seed(of segment: [UInt8]) -> UInt32 {
        (segment[60..<76] + segment[20..<24]).crc(0)
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
