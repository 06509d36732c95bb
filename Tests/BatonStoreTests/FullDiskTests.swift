// No room for another segment: nothing is written in part, and what waits can still be settled. The
// files may not grow, by a limit on a process of each test's own.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Testing

@Suite("A mailbox without room")
struct FullDiskTests {
    /// Files of more than `bytes` cannot be written from here on.
    private static func limitFiles(to bytes: UInt) {
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: bytes, rlim_max: rlim_t.max)
        precondition(unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
    }

    /// Appends until there is no room, without a spare.
    private static func fill(_ life: Life) throws(StoreError) {
        for _ in 0..<10_000 {
            do throws(StoreError) { try life.append(300) } catch {
                guard case .noRoom = error else { throw error }
                return
            }
            try life.flush()
        }
        preconditionFailure("it never ends")
    }

    private static func hasFiles(_ directory: TemporaryDirectory, _ expected: [String]) throws {
        let names = try directory.names()
        precondition(names == expected, "there are \(names)")
    }

    private static func comesBack(_ directory: TemporaryDirectory, _ life: Life) throws {
        let known = try Life(directory).known
        precondition(known == life.known, "\(known) came back")
    }

    @Test("Messages are refused before anything is written; it takes them again when there is room")
    func refused() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let life = try Life(directory)
            Self.limitFiles(to: 300 << 10)
            try Self.fill(life)
            let known = life.known
            for _ in 0..<3 { try Self.fill(life) }
            precondition(life.known == known, "a refused message left something behind")
            try Self.hasFiles(directory, ["0000000001.segment"])
            Self.limitFiles(to: .max)
            try life.append(300)
            try life.sync()
            precondition(life.mailbox.readable.segment == 2)
            try Self.comesBack(directory, life)
        }
    }

    @Test("What waits can be settled, with a spare in the making or one that could not be made")
    func drains() async {
        await #expect(processExitsWith: .success) {
            for keepsHouse in [false, true] {
                let directory = try TemporaryDirectory()
                let life = try Life(directory)
                Self.limitFiles(to: 300 << 10)
                try Self.fill(life)
                if keepsHouse { life.keepHouse() }
                for sequence in 1...life.mailbox.appended.value where sequence % 5 == 0 {
                    try life.settle(sequence)
                    try life.flush()
                }
                try life.settleAll(state: "all")
                try life.sync()
                try Self.comesBack(directory, life)
            }
        }
    }

    @Test("A spare that could not be made takes no room")
    func spare() async {
        await #expect(processExitsWith: .success) {
            let directory = try TemporaryDirectory()
            let life = try Life(directory)
            Self.limitFiles(to: 300 << 10)
            while life.mailbox.readable.offset < 140_000 {
                try life.append(3000)
                try life.flush()
            }
            precondition(life.keepHouse().count == 1)
            try Self.hasFiles(directory, ["0000000001.segment"])
            // It is asked for again, and made when there is room.
            try life.append(1)
            try life.flush()
            Self.limitFiles(to: .max)
            precondition(life.keepHouse().count == 1)
            try Self.hasFiles(directory, ["0000000001.segment", "spare"])
        }
    }
}
