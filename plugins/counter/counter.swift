// A service with state: it adds the integer of each message to a sum and answers the sum. `?` shows
// the whole state.
//
// Three versions are built from this file. Each takes the state of those before it, so an upgrade
// from any to any later one loses nothing; CounterState.swift is where that is decided. None takes the
// state of a later one, and says so: an upgrade back is refused, a rollback goes by the messages.

import BatonService

struct Counter: StatefulService {
    static let version = "\(CounterState.format)"
    static let stateVersion = UInt32(CounterState.format)
    static let takesStateVersions = 1...UInt32(CounterState.format)

    private var state: CounterState

    init(from saved: SavedState?) throws {
        guard let saved else {
            state = CounterState()
            return
        }
        state = try CounterState(decoding: saved)
        Log.info("counter \(Counter.version) begins with \(state), from version \(saved.version)")
    }

    mutating func handle(_ message: Message, reply: inout Reply) throws {
        if message == "?" {
            reply.stateChanged = false
            reply.append("\(state)")
            return
        }
        guard let number = message.string.flatMap({ Int64($0) }) else {
            reply.stateChanged = false
            throw ServiceError("INVALID", "not an integer of 64 bits: send one, like 5, or ?")
        }
        guard state.add(number) else {
            reply.stateChanged = false
            throw ServiceError("OVERFLOW", "the sum would not fit 64 bits: send a smaller integer")
        }
        reply.append(state.sum)
    }

    func snapshot() -> [UInt8] {
        state.encoded
    }
}

@c(baton_service) public func service(abi: UInt32) -> ServiceTable? { Counter.table(abi) }
