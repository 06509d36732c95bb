// A service between `start` and `stop`, with the author's type erased. Runs in baton-host.

/// What the table's functions call. The subclasses know the author's type.
class RunningService {
    var keepsState: Bool { false }
    func start(_ saved: SavedState?) throws {}
    /// Answers the message. True if the state has to be kept again.
    func handle(_ message: Message, _ call: HostCall) -> Bool { false }
    /// Nil if there is nothing running that has a state.
    func snapshot() -> [UInt8]? { nil }
    func stop() {}
}

class RunningStateless<S: Service & ~Copyable>: RunningService {
    // One thread calls, and no call begins within another (baton.h), so exclusive access needs no
    // check at run time; the checks took more than half of the time of a small message.
    @exclusivity(unchecked) final var service: S?
    @exclusivity(unchecked) final var reply = Reply()

    override func start(_ saved: SavedState?) throws {
        if let saved {
            throw Refusal(
                """
                version \(S.version) keeps no state and would lose the \(saved.bytes.count) bytes \
                of version \(saved.version); let it conform to StatefulService and take them
                """)
        }
        unsafe service = try S()
    }

    override func handle(_ message: Message, _ call: HostCall) -> Bool {
        answer(message, call)
        return false
    }

    override func stop() {
        unsafe service = nil
    }

    final func answer(_ message: Message, _ call: HostCall) {
        unsafe precondition(service != nil, "a host calls `start` before `handle` (baton.h)")
        unsafe reply.reset()
        do {
            try unsafe service?.handle(message, reply: &reply)
            unsafe call.reply(reply)
        } catch {
            call.fail(ServiceError.line(for: error))
        }
    }
}

final class RunningStateful<S: StatefulService & ~Copyable>: RunningStateless<S> {
    override var keepsState: Bool { true }

    override func start(_ saved: SavedState?) throws {
        unsafe service = try S(from: saved)
    }

    override func handle(_ message: Message, _ call: HostCall) -> Bool {
        answer(message, call)
        return unsafe reply.stateChanged
    }

    override func snapshot() -> [UInt8]? {
        unsafe service?.snapshot()
    }
}
