// The processes that simulate, seen from the one that was asked: what they find, and which seed one of
// them died of. Part of baton-simulate.

import BatonLinux
import BatonSimulator
import CLinux
import Glibc

/// What a worker has found.
enum Finding {
    case told(String)
    case kept(answers: Int, lives: Int, steps: Int)
    case broken(UInt64, String)
}

final class Pool {
    private final class Child {
        let stretch: Stretch
        let pid: Int32
        let pipe: Descriptor
        var unread: [UInt8] = []
        /// The seed under way.
        var seed: UInt64?

        init(_ stretch: Stretch) throws(SystemError) {
            self.stretch = stretch
            var ends: [Int32] = [-1, -1]
            guard unsafe Glibc.pipe(&ends) == 0 else { throw .last("make a pipe") }
            pipe = Descriptor(owning: ends[0])
            let theirs = Descriptor(owning: ends[1])
            for end in ends { _ = baton_fcntl_int(end, F_SETFD, FD_CLOEXEC) }
            let started = try Spawn.start(
                "/proc/self/exe", arguments: stretch.arguments,
                // With Swift's usual hashing the order of sets differs from process to process.
                environment: ["SWIFT_DETERMINISTIC_HASHING=1", "SWIFT_BACKTRACE=enable=no"],
                descriptors: [(theirs.number, Worker.output)])
            pid = started.pid
        }
    }

    private var children: [Child] = []
    private let stretches: [Stretch]

    init(_ stretch: Stretch, jobs: Int) {
        let step = UInt64(jobs)
        stretches = (0..<step).map { offset in
            var part = stretch
            part.seeds =
                min(
                    stretch.seeds.lowerBound + offset, stretch.seeds.upperBound)..<stretch.seeds
                .upperBound
            part.step = step
            return part
        }
    }

    /// - Parameter found: says whether to go on.
    func run(_ found: (Finding) -> Bool) {
        for stretch in stretches where !stretch.seeds.isEmpty { start(stretch) }
        while !children.isEmpty {
            var waits = children.map {
                pollfd(fd: $0.pipe.number, events: Int16(POLLIN), revents: 0)
            }
            _ = unsafe poll(&waits, UInt(waits.count), -1)
            for (wait, child) in zip(waits, children) where wait.revents != 0 {
                guard read(child, found) else { return end() }
            }
        }
    }

    private func start(_ stretch: Stretch) {
        do throws(SystemError) { children.append(try Child(stretch)) } catch {
            print("baton-simulate: \(error)")
        }
    }

    /// - Returns: whether to go on.
    private func read(_ child: Child, _ found: (Finding) -> Bool) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let got = unsafe Glibc.read(child.pipe.number, &buffer, buffer.count)
        guard got > 0 else { return hasEnded(child, found) }
        child.unread += buffer[..<got]
        while let end = child.unread.firstIndex(of: 10) {
            let line = String(decoding: child.unread[..<end], as: UTF8.self)
            child.unread.removeFirst(end + 1)
            if let finding = take(line, child), !found(finding) { return false }
        }
        return true
    }

    private func take(_ line: String, _ child: Child) -> Finding? {
        let words = line.split(separator: " ", maxSplits: 2).map(String.init)
        guard words.count >= 2 else { return nil }
        if words[0] == "told" { return .told(String(line.dropFirst(5))) }
        guard let seed = UInt64(words[1]) else { return nil }
        let rest = words.count > 2 ? words[2] : ""
        switch words[0] {
        case "begin":
            child.seed = seed
            return nil
        case "broken":
            child.seed = nil
            return .broken(seed, rest)
        default:
            child.seed = nil
            let numbers = rest.split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 3 else { return .broken(seed, "'\(line)' was said") }
            return .kept(answers: numbers[0], lives: numbers[1], steps: numbers[2])
        }
    }

    /// A worker that ended within a seed died of it: another goes on behind it.
    private func hasEnded(_ child: Child, _ found: (Finding) -> Bool) -> Bool {
        children.removeAll { $0 === child }
        let exit = reap(child.pid)
        Places(name: "\(child.pid)").remove()
        guard let seed = child.seed else {
            guard exit == .code(0) else { return found(.broken(0, "a worker ended: \(exit)")) }
            return true
        }
        guard found(.broken(seed, "the supervisor trapped: \(exit)")) else { return false }
        var rest = child.stretch
        rest.seeds = min(seed + rest.step, rest.seeds.upperBound)..<rest.seeds.upperBound
        if !rest.seeds.isEmpty { start(rest) }
        return true
    }

    private func reap(_ pid: Int32) -> Spawn.Exit {
        var status: Int32 = 0
        _ = retryInterrupted { Int(unsafe waitpid(pid, &status, 0)) }
        let signal = status & 0x7f
        return signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
    }

    private func end() {
        for child in children {
            _ = kill(child.pid, SIGKILL)
            _ = reap(child.pid)
            Places(name: "\(child.pid)").remove()
        }
        children = []
    }
}
