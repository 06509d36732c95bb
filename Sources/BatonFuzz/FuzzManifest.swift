// The files in which a state directory says what it is, and which services were removed. Runs in the
// fuzzer.

import BatonCore
import BatonLinux
import BatonSupervisor
import Glibc

enum FuzzManifest {
    /// One directory for all runs of this process.
    private static let path: String = {
        let path = ScratchFiles.directory + "/state"
        guard (try? StateDirectory(path)) != nil else { preconditionFailure("no state directory") }
        return path
    }()
    private static let format: [UInt8] = ScratchFiles.read("\(path)/format")

    /// The first byte is odd: the format; else the marker of a removed service.
    static func run(_ bytes: UnsafeRawBufferPointer) {
        guard let kind = unsafe bytes.first else { return }
        let contents = unsafe Array(bytes.dropFirst())
        let good = format
        if kind & 1 == 1 {
            ScratchFiles.write(contents, "\(path)/format")
            defer { ScratchFiles.write(good, "\(path)/format") }
            do throws(StartRefusal) { _ = try StateDirectory(path) } catch {
                precondition(error.description.contains(path), "no place: \(error)")
                let isUnchanged = ScratchFiles.read("\(path)/format") == contents
                precondition(isUnchanged, "what was refused was changed")
            }
        } else {
            ScratchFiles.write(contents, "\(path)/mailboxes/ping.removed")
            guard let state = try? StateDirectory(path), let ping = ServiceName("ping") else {
                preconditionFailure("a good state directory is refused")
            }
            precondition(state.removals()[ping] != nil, "a removed service is forgotten")
        }
    }
}
