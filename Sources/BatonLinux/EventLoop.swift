// epoll: which descriptors are ready. Used in batond; its loop is Supervisor.run.

import BatonCore
import CLinux
import Glibc

@safe package struct EventLoop: ~Copyable {
    /// What to wait for, and what has come.
    package struct Interest: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let readable = Interest(rawValue: EPOLLIN.rawValue)
        package static let writable = Interest(rawValue: EPOLLOUT.rawValue)
        /// The peer has closed, or the descriptor is broken; always waited for.
        package static let hungUp = Interest(rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue)
    }

    private let epoll: Descriptor
    private var events: UnsafeMutableBufferPointer<epoll_event>

    package init() throws(SystemError) {
        epoll = try Descriptor("make an epoll", epoll_create1(Int32(EPOLL_CLOEXEC)))
        unsafe events = .allocate(capacity: 256)
        unsafe events.initialize(repeating: epoll_event())
    }

    deinit { unsafe events.deallocate() }

    /// Readable when something that is waited for has come.
    package var descriptor: Int32 { epoll.number }

    /// - Parameter token: comes back with each event of this descriptor.
    package func add(_ descriptor: Int32, _ interest: Interest, token: UInt64)
        throws(SystemError)
    {
        try control(EPOLL_CTL_ADD, descriptor, interest, token)
    }

    package func change(_ descriptor: Int32, _ interest: Interest, token: UInt64) {
        // Fails only for a descriptor that was not added, which is a fault of ours.
        do throws(SystemError) { try control(EPOLL_CTL_MOD, descriptor, interest, token) } catch {
            preconditionFailure("\(error)")
        }
    }

    package func remove(_ descriptor: Int32) {
        _ = epoll_ctl(epoll.number, EPOLL_CTL_DEL, descriptor, nil)
    }

    private func control(
        _ operation: Int32, _ descriptor: Int32, _ interest: Interest, _ token: UInt64
    ) throws(SystemError) {
        var event = unsafe epoll_event()
        unsafe event.events = interest.rawValue
        unsafe event.data.u64 = token
        guard unsafe epoll_ctl(epoll.number, operation, descriptor, &event) == 0 else {
            throw .last("watch descriptor \(descriptor)")
        }
    }

    /// Waits until something is ready or `timeout` has passed; `nil` waits without an end.
    /// - Returns: how many events there are, for `event(_:)`.
    package mutating func wait(timeout: Moment.Span?) -> Int {
        // Rounded up, or a deadline would be waited for in a hundred short sleeps.
        let milliseconds: Int32 =
            timeout.map { Int32(clamping: ($0.nanoseconds &+ 999_999) / 1_000_000) } ?? -1
        let count = unsafe epoll_wait(
            epoll.number, events.baseAddress, Int32(events.count), milliseconds)
        return max(0, Int(count))
    }

    package func event(_ index: Int) -> (token: UInt64, interest: Interest) {
        let event = unsafe events[index]
        return unsafe (event.data.u64, Interest(rawValue: event.events))
    }
}
