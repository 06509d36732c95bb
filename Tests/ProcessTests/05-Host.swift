// One host by itself: what its image declares, what it is given at its start, and messages handled
// again as a rollback and a rehearsal need it.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire
import Foundation
import Glibc
import Testing

extension Processes {
    @Suite("05 Host") struct Host {
        private let directory: ScratchDirectory

        init() throws { directory = try ScratchDirectory() }

        private func started(_ trial: Trial = .first) throws -> TestHost {
            let host = try TestHost(try trial.image())
            _ = try host.loaded()
            #expect(try host.start() == .started)
            return host
        }

        private func state(_ sum: Int64, _ count: Int64) -> [UInt8] {
            [1]
                + [sum, count].flatMap { value in
                    (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
                }
        }

        /// `sum 1`, `sum 2` …, one for each sequence.
        private func sums(_ count: Int) -> [String] { (1...count).map { "sum \($0)" } }

        /// The sum of 1 to `count`.
        private func total(_ count: Int64) -> Int64 { count * (count + 1) / 2 }

        // MARK: What is declared

        @Test("An image says which formats of state it writes and takes")
        func declares() throws {
            let second = try TestHost(try Trial.second.image()).loaded()
            #expect(
                second == .init(version: "2", hasState: true, stateVersion: 2, takes: 1...2))
            let silent = try TestHost(try Trial(takes: 0...0).image()).loaded()
            #expect(silent == .init(version: "1", hasState: true, stateVersion: 0, takes: 0...0))
        }

        @Test(
            "The counter's versions declare their formats, the first to their own",
            arguments: [("counter", 1), ("counter-2", 2), ("counter-3", 3)])
        func counter(image: String, version: UInt32) throws {
            let loaded = try TestHost(try Products.bytes(image)).loaded()
            #expect(
                loaded
                    == .init(
                        version: "\(version)", hasState: true, stateVersion: version,
                        takes: 1...version))
        }

        @Test("A table from before the formats loads, and declares nothing")
        func oldTable() throws {
            let loaded = try TestHost(try Trial(plan: "old-table").image()).loaded()
            #expect(loaded == .init(version: "1", hasState: true, stateVersion: 0, takes: 0...0))
        }

        @Test(
            "A declaration that cannot be is refused, and says what is wrong",
            arguments: [
                (Trial(takes: 2...2), "must take its own"), (Trial(writes: 3), "must take its own"),
            ])
        func impossible(trial: Trial, cause: String) throws {
            guard case .refused(let reason) = try TestHost(try trial.image()).hear() else {
                Issue.record("it was not refused")
                return
            }
            #expect(reason.contains(cause), "\(reason)")
        }

        @Test("start is told the format of the state, and that it comes from a newer version")
        func origin() throws {
            let host = try TestHost(try Trial.firstTakesBoth.image())
            _ = try host.loaded()
            var bytes = state(3, 12)
            bytes[0] = 2
            bytes += (0..<8).map { $0 == 0 ? 15 : 0 }
            #expect(
                try host.start(state: bytes, from: "2", format: 2, downgrade: true) == .started)
            let mailbox = try Mailbox.containing(["origin", "sum 1"], in: directory)
            try host.run(mailbox, from: 1)
            let outcomes = try host.outcomes(through: 2)
            #expect(outcomes.prefix(1) == [.reply(1, "from=2 format=2 downgrade=1")])
            // Format 2 is count 3, sum 12; the first version writes format 1.
            #expect(outcomes.suffix(2) == [.reply(2, "13"), .state(2, state(13, 4))])
        }

        // MARK: A migration that goes wrong

        @Test(
            "A state that is taken but does not come out again is refused at once",
            arguments: [
                ("migration-forget", "hands none over"),
                ("migration-huge", "1073741824 bytes"),
                ("migration-nothing", "start returned 1"),
                ("migration-refuse", "planned to be refused"),
            ])
        func lost(plan: String, cause: String) throws {
            let host = try TestHost(try Trial.second(plan).image())
            _ = try host.loaded()
            let answer = try host.start(state: state(5, 1), from: "1", format: 1)
            guard case .refused(let reason) = answer else {
                Issue.record("\(answer)")
                return
            }
            #expect(reason.contains(cause), "\(reason)")
            // The 1 GiB were never in memory twice, nor once: nobody wrote to them.
            #expect(try ProcessTable.peakKibibytes(host.pid) < 64 << 10)
        }

        // MARK: Replay

        @Test("A replay ends where it is told to, with the state as it is there; then it goes on")
        func replay() throws {
            let mailbox = try Mailbox.containing(sums(100), in: directory)
            let host = try started()
            try host.replay(mailbox, 1...40, generation: 7)
            let replayed = try host.outcomes(until: .suspended(generation: 7))
            #expect(replayed.compactMap(\.settled) == Array(1...40))
            #expect(replayed.last == .state(40, state(total(40), 40)))
            #expect(try host.takeOutcomes() == [])

            try host.say(.proceed(carefulThrough: 0))
            let rest = try host.outcomes(through: 100)
            #expect(rest.compactMap(\.settled) == Array(41...100))
            #expect(rest.last == .state(100, state(total(100), 100)))
        }

        @Test("After a replay it can be given the cursor elsewhere, and replay again")
        func runAfterReplay() throws {
            let mailbox = try Mailbox.containing(sums(30), in: directory)
            let host = try started()
            try host.replay(mailbox, 11...20, generation: 1)
            let first = try host.outcomes(until: .suspended(generation: 1))
            #expect(first.last == .state(20, state(total(20) - total(10), 10)))
            // As a rehearsal is followed: another state, and the cursor.
            #expect(try host.start(state: state(1000, 1), from: "1", format: 1) == .started)
            try host.run(mailbox, from: 29)
            let run = try host.outcomes(through: 30)
            #expect(run.last == .state(30, state(1059, 3)))
            try host.say(.suspend(generation: 2))
            #expect(try host.hear() == .suspended(generation: 2))
            // And back.
            try host.replay(mailbox, 1...2, generation: 3)
            let again = try host.outcomes(until: .suspended(generation: 3))
            #expect(again.first == .reply(1, "1060"))
            #expect(again.last == .state(2, state(1062, 5)))
        }

        @Test("A replay in which the state never changes ends without a state")
        func unchanged() throws {
            let mailbox = try Mailbox.containing(
                (1...50).map { "echo \($0)" } + ["sum 1"], in: directory)
            let host = try started()
            try host.replay(mailbox, 1...50, generation: 1)
            let outcomes = try host.outcomes(until: .suspended(generation: 1))
            #expect(outcomes == (1...50).map { .reply($0, "echo \($0)") })
        }

        @Test("A replay of nothing ends at once, and handles nothing")
        func empty() throws {
            let mailbox = try Mailbox.containing(sums(3), in: directory)
            let host = try started()
            let position = mailbox.position(of: SequenceNumber(3))
            try host.give(mailbox, from: position)
            try host.say(
                .replay(position: position, sequence: 3, through: 2, generation: 9, dead: []))
            #expect(try host.outcomes(until: .suspended(generation: 9)) == [])
        }

        @Test("A replay crosses segments, forth and, sent them again, back")
        func segments() throws {
            let padding = String(repeating: "x", count: 4000)
            var mailbox = try Mailbox.containing([], in: directory)
            for number in 1...300 { try mailbox.append("sum \(number) \(padding.prefix(100))") }
            for _ in 1...300 { try mailbox.append(padding) }
            for number in 601...605 { try mailbox.append("sum \(number)") }
            try mailbox.flush()
            let last = mailbox.position(of: SequenceNumber(605)).segment
            try #require(last > mailbox.position(of: SequenceNumber(1)).segment)

            let host = try started()
            try host.replay(mailbox, 300...603, generation: 1)
            let forth = try host.outcomes(until: .suspended(generation: 1))
            #expect(forth.compactMap(\.settled) == Array(300...603))
            #expect(forth.last?.state == state(300 + 601 + 602 + 603, 4))

            host.forget(before: LogPosition(segment: last, offset: 0))
            try host.replay(mailbox, 299...604, generation: 2)
            let back = try host.outcomes(until: .suspended(generation: 2))
            #expect(back.compactMap(\.settled) == Array(299...604))
            try host.say(.proceed(carefulThrough: 0))
            #expect(try host.outcomes(through: 605).last?.state?.prefix(1) == [1])
        }

        @Test("More messages than the ring holds are replayed as it is emptied")
        func ringful() throws {
            let message = String(repeating: "y", count: 30_000)
            let mailbox = try Mailbox.containing(
                Array(repeating: message, count: 60) + ["sum 5"], in: directory)
            let host = try started()
            try host.replay(mailbox, 1...61, generation: 1)
            let outcomes = try host.outcomes(until: .suspended(generation: 1))
            #expect(outcomes.compactMap(\.settled) == Array(1...61))
            #expect(outcomes.last == .state(61, state(5, 1)))
        }

        @Test("Suspended in a replay, it waits with its state published, and goes on with the rest")
        func suspended() throws {
            let mailbox = try Mailbox.containing(
                ["sum 1", "sleep 300", "sum 2", "sum 3"], in: directory)
            let host = try started()
            try host.replay(mailbox, 1...3, generation: 1)
            try wait(for: "message 2 in hand") { host.ring.load(.inHand) == 2 }
            let since = CycleClock().age(of: host.ring.load(.inHandSince))
            #expect(since < .seconds(30))
            try host.say(.suspend(generation: 2))
            let before = try host.outcomes(until: .suspended(generation: 2))
            #expect(before.compactMap(\.settled) == [1, 2])
            #expect(before.compactMap(\.state).last == state(1, 1))
            #expect(host.ring.load(.inHand) == 0 && host.ring.load(.inHandSince) == 0)

            try host.say(.proceed(carefulThrough: 0))
            let after = try host.outcomes(until: .suspended(generation: 1))
            #expect(after == [.reply(3, "3"), .state(3, state(3, 2))])
        }

        @Test("A replay passes over dead letters, the last one too")
        func dead() throws {
            let mailbox = try Mailbox.containing(
                ["sum 1", "die-all", "sum 2", "die-all", "sum 4"], in: directory)
            let host = try started()
            try host.replay(mailbox, 1...4, generation: 1, dead: [2, 4])
            let outcomes = try host.outcomes(until: .suspended(generation: 1))
            #expect(
                outcomes.filter { $0.state == nil }
                    == [.reply(1, "1"), .passed(2), .reply(3, "3"), .passed(4)])
            #expect(outcomes.compactMap(\.state).last == state(3, 2))
            try host.say(.proceed(carefulThrough: 0))
            #expect(try host.outcomes(through: 5).last == .state(5, state(7, 3)))
        }

        @Test("A message that kills the host in a replay is the one in hand")
        func killed() throws {
            let mailbox = try Mailbox.containing(["sum 1", "die-all", "sum 2"], in: directory)
            let host = try started()
            try host.replay(mailbox, 1...3, generation: 1)
            #expect(try host.end() == .signal(SIGSEGV))
            #expect(host.ring.load(.inHand) == 2)
            #expect(host.ring.load(.inHandSince) != 0)
        }

        // MARK: The plans of trial, which other tests rest upon

        @Test(
            "A version dies of the message that its plan or the message names",
            arguments: [
                ("crash-at 1", 1), ("crash-at 3", 3), ("none", 4),
            ] as [(String, UInt64)])
        func dies(plan: String, sequence: UInt64) throws {
            let mailbox = try Mailbox.containing(
                ["sum 1", "die 2", "sum 2", "die 1", "sum 3"], in: directory)
            let host = try started(Trial(plan: plan))
            try host.run(mailbox, from: 1)
            #expect(try host.end() == .signal(SIGSEGV))
            #expect(host.ring.load(.inHand) == sequence)
        }

        @Test(
            "A version ends some time after a message, with nothing in hand",
            arguments: [
                ("none", "exit0 100", Spawn.Exit.code(0)),
                ("crash-after 100", "hello", .signal(SIGSEGV)),
            ])
        func endsLater(plan: String, message: String, end: Spawn.Exit) throws {
            let mailbox = try Mailbox.containing([message], in: directory)
            let host = try started(Trial(plan: plan))
            try host.run(mailbox, from: 1)
            #expect(try host.outcomes(through: 1).count == 1)
            #expect(try host.end() == end)
            #expect(host.ring.load(.inHand) == 0)
        }

        @Test("A version whose sums differ says so, and counts all the same")
        func differs() throws {
            let mailbox = try Mailbox.containing(["sum 1", "sum 2", "sum"], in: directory)
            let host = try started(Trial(plan: "differ"))
            try host.run(mailbox, from: 1)
            let outcomes = try host.outcomes(through: 3)
            #expect(
                outcomes.filter { $0.state == nil }
                    == [.reply(1, "~1"), .reply(2, "~3"), .reply(3, "3")])
        }

        // MARK: Memory

        @Test("A host over its limit of memory dies, one below it lives")
        func memory() throws {
            let mailbox = try Mailbox.containing(["alloc 16", "alloc 512"], in: directory)
            let host = try TestHost(try Trial.first.image(), memoryLimit: 256 << 20)
            _ = try host.loaded()
            #expect(try host.start() == .started)
            try host.run(mailbox, from: 1)
            #expect(try host.end() == .signal(SIGABRT))
            #expect(host.ring.load(.inHand) == 2)
            #expect(try host.takeOutcomes().contains(.reply(1, "allocated 16")))
        }
    }
}
