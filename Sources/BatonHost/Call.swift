// What stands behind a `baton_call`: where a plugin's reply, state, refusal and log lines go.
// Runs in baton-host.

import BatonCore
import BatonLinux
import BatonWire
import CBaton
import CLinux
import Glibc

/// Bytes that are overwritten again and again: grows, never shrinks below what is used often.
@safe struct ScratchBytes: ~Copyable {
    private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    private(set) var count = 0

    deinit { unsafe buffer.deallocate() }

    var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count]) }

    mutating func clear() { count = 0 }

    @inline(__always)
    mutating func replace(_ bytes: UnsafeRawBufferPointer) {
        if unsafe bytes.count > buffer.count {
            unsafe buffer.deallocate()
            unsafe buffer = .allocate(byteCount: bytes.count * 2, alignment: 16)
        }
        if let source = bytes.baseAddress, let base = unsafe buffer.baseAddress {
            unsafe memcpy(base, source, bytes.count)
        }
        count = bytes.count
    }
}

struct Call: ~Copyable {
    enum Answer { case reply, failure }

    var answer = Answer.reply
    var reply = ScratchBytes()
    var state = ScratchBytes()
    /// The bytes of the state that `snapshot` handed over, if it did. One beyond the limit is not
    /// copied.
    var stateCount: Int?
    var stateLimit = 0
    var reason = ""
    private var linesThisSecond = 0
    private var second: UInt64 = 0

    mutating func begin() {
        answer = .reply
        reply.clear()
    }

    mutating func fail(_ text: UnsafeRawBufferPointer) {
        answer = .failure
        unsafe reply.replace(
            UnsafeRawBufferPointer(rebasing: text.prefix(FixedLimits.reasonBytes)))
    }

    /// Floods are dropped: the channel is for the supervisor's and the host's own words.
    mutating func log(_ level: UInt8, _ text: UnsafeRawBufferPointer) {
        let now = MonotonicClock.now().nanoseconds / 1_000_000_000
        if now != second {
            second = now
            linesThisSecond = 0
        }
        linesThisSecond += 1
        guard linesThisSecond <= FixedLimits.framesPerSecond / 4 else { return }
        let text = unsafe String(
            decoding: text.prefix(FixedLimits.logLineBytes), as: UTF8.self)
        // A full channel: the line is lost, not the message.
        do throws(SystemError) {
            try HostChannel.send(
                HostReport.log(level: level, text: text).encoded(),
                on: HostChannel.Number.channel, waits: false)
        } catch {}
    }

    /// The table of functions that a plugin is given; lives as long as the process.
    static func makeHost() -> UnsafePointer<baton_host> {
        let host = UnsafeMutablePointer<baton_host>.allocate(capacity: 1)
        unsafe host.initialize(
            to: baton_host(
                size: MemoryLayout<baton_host>.size, abi: UInt32(BATON_ABI),
                reply: { call, reply in
                    unsafe Call.of(call) { (call: inout Call) in
                        call.answer = .reply
                        unsafe call.reply.replace(Call.bytes(reply))
                    }
                },
                fail: { call, text in
                    unsafe Call.of(call) { (call: inout Call) in unsafe call.fail(Call.bytes(text))
                    }
                },
                state: { call, state in
                    unsafe Call.of(call) { (call: inout Call) in
                        let state = unsafe Call.bytes(state)
                        call.stateCount = state.count
                        if state.count <= call.stateLimit { unsafe call.state.replace(state) }
                    }
                },
                refuse: { call, reason in
                    unsafe Call.of(call) { (call: inout Call) in
                        call.reason = unsafe String(
                            decoding: Call.bytes(reason).prefix(FixedLimits.reasonBytes),
                            as: UTF8.self)
                    }
                },
                log: { call, level, text in
                    unsafe Call.of(call) { (call: inout Call) in
                        unsafe call.log(UInt8(clamping: level.rawValue), Call.bytes(text))
                    }
                }))
        return unsafe UnsafePointer(host)
    }

    /// A plugin that hands over something else than its call is on its own: it is contained.
    @inline(__always)
    private static func of(_ call: OpaquePointer?, _ body: (inout Call) -> Void) {
        guard let call = unsafe UnsafeMutablePointer<Call>(call) else { return }
        unsafe body(&call.pointee)
    }

    @inline(__always)
    private static func bytes(_ bytes: baton_bytes) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(
            start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.count)
    }
}
