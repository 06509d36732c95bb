// Files for runs of the fuzzer, in memory. They are left behind when it ends: it ends by a signal.

import BatonLinux
import CLinux
import Glibc

enum ScratchFiles {
    /// This process's own.
    static let directory: String = {
        let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/dev/shm"
        let path = "\(base)/baton-fuzz-\(getpid())"
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            preconditionFailure("there is no place for files below \(base)")
        }
        return path
    }()

    static func write(_ bytes: [UInt8], _ path: String) {
        guard let file = try? Descriptor.open(path, flags: O_WRONLY | O_CREAT, mode: 0o600),
            unsafe pwrite(file.number, bytes, bytes.count, 0) == bytes.count,
            ftruncate(file.number, bytes.count) == 0
        else { preconditionFailure("cannot write \(path)") }
    }

    static func read(_ path: String) -> [UInt8] {
        guard let file = try? Descriptor.open(path, flags: O_RDONLY),
            let status = try? file.status()
        else { preconditionFailure("cannot read \(path)") }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let got = unsafe pread(file.number, &bytes, bytes.count, 0)
        return Array(bytes.prefix(max(0, got)))
    }
}
