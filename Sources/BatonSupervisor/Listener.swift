// A socket that clients connect to. Runs in batond.

import BatonCore
import BatonLinux

final class Listener {
    enum Kind {
        case service(Service)
        /// Answers every client with this error line.
        case outage(Outage)
        case baton
        case control
    }

    let kind: Kind
    let path: String
    let socket: Descriptor
    var token: UInt64 = 0

    init(_ kind: Kind, path: String, mode: UInt32) throws(SystemError) {
        self.kind = kind
        self.path = path
        socket = try UnixSocket.listen(path: path, mode: mode)
    }
}
