// Becoming batond, for what only that program can do. Runs in baton.

import ArgumentParser
import BatonClient
import Glibc

enum Handover {
    /// Does not return if batond can be run: it lies beside this program, as installed.
    static func toBatond(_ arguments: [String]) -> ExitCode {
        let program = Self.program
        var words: [UnsafeMutablePointer<CChar>?] = unsafe ([program] + arguments).map {
            unsafe strdup($0)
        }
        unsafe words.append(nil)
        _ = unsafe execv(program, &words)
        let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? ""
        Output.complain("cannot run \(program): \(reason): install batond beside baton")
        return ExitCode(CommandExit.daemonNotReachable.rawValue)
    }

    private static var program: String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe bytes.baseAddress.map { unsafe readlink("/proc/self/exe", $0, bytes.count) } ?? 0
        }
        let path = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        return "/" + (path.split(separator: "/").dropLast() + ["batond"]).joined(separator: "/")
    }
}
