// A program that a test runs: started with files for its streams, ended by its pid, reaped here.

import BatonLinux
import CLinux
import Foundation
import Glibc

final class ChildProcess {
    let pid: pid_t
    /// A pidfd, readable at its end.
    private let exit: Descriptor
    private var ended: Spawn.Exit?

    /// Starts `program`; what it writes is appended to the files `output` and `error`.
    init(
        _ program: String, _ arguments: [String] = [], environment: [String: String] = [:],
        input: String = "/dev/null", output: String, error: String
    ) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        let append = O_WRONLY | O_CREAT | O_APPEND
        unsafe posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        unsafe posix_spawn_file_actions_addopen(&actions, 1, output, append, 0o644)
        if error == output {
            unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
        } else {
            unsafe posix_spawn_file_actions_addopen(&actions, 2, error, append, 0o644)
        }

        // Signals as a shell would leave them, whatever the test's program does with them.
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var made: pid_t = 0
        let words = environment.map { "\($0)=\($1)" }
        let failed = unsafe Self.withCStrings([program] + arguments) { arguments in
            unsafe Self.withCStrings(words) { words in
                unsafe posix_spawn(&made, program, &actions, &attributes, arguments, words)
            }
        }
        guard failed == 0 else { throw SystemError("start \(program)", code: failed) }
        pid = made
        exit = try Descriptor("watch process \(made)", pidfd_open(made, 0))
    }

    deinit {
        guard ended == nil else { return }
        signal(SIGKILL)
        _ = waitpid(pid, nil, 0)
    }

    var isRunning: Bool {
        if ended == nil { ended = Spawn.reap(pid) }
        return ended == nil
    }

    func signal(_ number: Int32) {
        if ended == nil { _ = kill(pid, number) }
    }

    /// How it ended, once it has.
    @discardableResult
    func end(within bound: Duration = .patience) throws -> Spawn.Exit {
        if let ended { return ended }
        guard try exit.isReadable(within: bound), let how = Spawn.reap(pid) else {
            throw TimedOut(what: "end of process \(pid)", bound: bound)
        }
        ended = how
        return how
    }

    private static func withCStrings<Result>(
        _ strings: [String],
        _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) throws -> Result
    ) rethrows -> Result {
        var pointers = unsafe strings.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return try unsafe pointers.withUnsafeMutableBufferPointer { buffer in
            guard let first = buffer.baseAddress else { preconditionFailure("never empty") }
            return try unsafe body(first)
        }
    }
}

extension Descriptor {
    /// Waits until there is something to read, or an end to see.
    borrowing func isReadable(within bound: Duration) throws -> Bool {
        var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
        let count = retryInterrupted { unsafe Int(poll(&entry, 1, bound.milliseconds)) }
        guard count >= 0 else { throw SystemError.last("wait for a descriptor") }
        return count > 0
    }
}

/// Another's process, seen by its pidfd: its end can be waited for.
final class Witness {
    let pid: pid_t
    private let exit: Descriptor

    init(_ pid: pid_t) throws {
        self.pid = pid
        exit = try Descriptor("watch process \(pid)", pidfd_open(pid, 0))
    }

    func seesEnd(within bound: Duration = .patience) throws -> Bool {
        try exit.isReadable(within: bound)
    }
}
