// baton-host: runs one version of one service. Started by batond, with descriptors instead of paths;
// of no use by hand.

import BatonHost
import Glibc

@main struct Main {
    static func main() {
        guard CommandLine.arguments.count == 3, let supervisor = Int32(CommandLine.arguments[2])
        else {
            let text = "baton-host is started by batond; see 'batond --help'\n"
            _ = unsafe write(STDERR_FILENO, text, text.utf8.count)
            exit(64)
        }
        HostLoop.main(supervisor: supervisor)
    }
}
