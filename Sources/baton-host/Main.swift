// baton-host: runs one version of one service. Started by batond, with descriptors instead of paths;
// of no use by hand. Its arguments: the service's name (for `ps`), batond's pid, and the bytes of memory
// it may have (0: no limit).

import BatonHost
import Glibc

@main struct Main {
    static func main() {
        guard CommandLine.arguments.count == 4, let supervisor = Int32(CommandLine.arguments[2]),
            let memoryLimit = UInt64(CommandLine.arguments[3])
        else {
            let text = "baton-host is started by batond; see 'batond --help'\n"
            _ = unsafe write(STDERR_FILENO, text, text.utf8.count)
            exit(64)
        }
        HostLoop.main(supervisor: supervisor, memoryLimit: memoryLimit)
    }
}
