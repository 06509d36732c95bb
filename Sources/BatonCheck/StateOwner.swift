// Whose state directory it is: root looks at it, and repairs it, as that user, so that what batond
// would refuse is refused, and what is written belongs to batond. Runs in `batond check` and
// `batond repair`.

import BatonLinux
import CLinux
import Glibc

package enum StateOwner {
    /// Becomes the user that the state directory belongs to, for good, if this is root.
    /// - Throws: if there is no such directory.
    package static func assume(of path: String) throws(CheckRefusal) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw .unreadable("\(SystemError.last("look at \(path)"))")
        }
        guard geteuid() == 0, status.st_uid != 0 else { return }
        guard setgroups(0, nil) == 0, setgid(status.st_gid) == 0, setuid(status.st_uid) == 0
        else { throw .unreadable("\(SystemError.last("become user \(status.st_uid)"))") }
    }
}
