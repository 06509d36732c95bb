// Starts a program with exactly the descriptors it is meant to have. Used in batond.

import CLinux
import Glibc

package enum Spawn {
    package struct Child: ~Copyable {
        package let pid: Int32
        /// A pidfd, readable when the process has ended.
        package let exit: Descriptor

        package init(pid: Int32, exit: consuming Descriptor) {
            self.pid = pid
            self.exit = exit
        }

        package consuming func takeExit() -> Descriptor { exit }
    }

    /// - Parameter descriptors: (ours, its number in the child); standard error is inherited.
    package static func start(
        _ path: String, arguments: [String], environment: [String],
        descriptors: [(source: Int32, target: Int32)]
    ) throws(SystemError) -> Child {
        var pid: pid_t = 0
        let failed = unsafe withCStrings([path] + arguments) { arguments in
            unsafe withCStrings(environment) { environment in
                unsafe baton_spawn(
                    path, arguments, environment, descriptors.map(\.source),
                    descriptors.map(\.target), descriptors.count, &pid)
            }
        }
        guard failed == 0 else { throw SystemError("start \(path)", code: failed) }
        let exit = pidfd_open(pid, 0)
        guard exit >= 0 else {
            let error = SystemError.last("watch process \(pid)")
            _ = kill(pid, SIGKILL)
            _ = waitpid(pid, nil, 0)
            throw error
        }
        return Child(pid: pid, exit: Descriptor(owning: exit))
    }

    /// How a process ended.
    package enum Exit: Equatable, Sendable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)

        package var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let signal):
                unsafe "signal \(signal) (\(String(cString: strsignal(signal))))"
            }
        }
    }

    /// Reaps a process whose pidfd is readable; `nil` if it has not ended.
    package static func reap(_ pid: Int32) -> Exit? {
        var status: Int32 = 0
        guard unsafe waitpid(pid, &status, WNOHANG) == pid else { return nil }
        let signal = status & 0x7f
        return signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
    }

    private static func withCStrings<R>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("never empty") }
            return unsafe body(base)
        }
    }
}
