// The smallest service: it answers `pong` to `ping`.

import BatonService

struct Ping: Service {
    #if PING_2
        static let version = "2"
    #else
        static let version = "1"
    #endif

    init() {
        Log.info("ping \(Ping.version) is ready")
    }

    mutating func handle(_ message: Message, reply: inout Reply) throws {
        guard message == "ping" else {
            throw ServiceError("UNKNOWN", #"this service answers to "ping": send ping"#)
        }
        reply.append("pong")
    }
}

@c(baton_service) public func service(abi: UInt32) -> ServiceTable? { Ping.table(abi) }
