// A client that does nothing wrong beside those that do: how long it waits for its replies.

import BatonLinux
import Glibc

final class Neighbour {
    private let client: LineClient
    private let message: String
    private let reply: String

    init(_ daemon: TestDaemon, _ service: String, _ message: String, _ reply: String) throws {
        client = try daemon.lines(service)
        self.message = message
        self.reply = reply
    }

    /// Asks again and again, one message at a time.
    /// - Returns: how long the replies took, the shortest first.
    func waits(asking count: Int, until isOver: () throws -> Bool = { false }) throws -> [Duration]
    {
        var waits: [Duration] = []
        while waits.count < count, try waits.isEmpty || !isOver() {
            var heard = ""
            waits.append(try ContinuousClock().measure { heard = try client.ask(message) })
            guard heard == reply else { throw Failure("a neighbour was answered '\(heard)'") }
        }
        return waits.sorted()
    }

    func median(asking count: Int, until isOver: () throws -> Bool = { false }) throws -> Duration {
        let waits = try waits(asking: count, until: isOver)
        return waits[waits.count / 2]
    }
}

/// How many descriptors this process may have; the usual soft limit is for programs that use select.
func raiseDescriptorLimit() -> Int {
    var limit = rlimit()
    let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    guard unsafe getrlimit(kind, &limit) == 0 else { return 0 }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(kind, &limit)
    return Int(clamping: limit.rlim_cur)
}
