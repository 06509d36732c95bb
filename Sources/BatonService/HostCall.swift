// One call from the host, and what may be said to the host while it lasts. Runs in baton-host.

import CBaton

/// The two pointers that every function of the table is given. Not to be kept beyond the call.
@safe
struct HostCall {
    private let host: UnsafePointer<baton_host>
    private let call: OpaquePointer?

    /// The call that is being served, for `Log`. There is one thread and one call at a time
    /// (baton.h), so nothing else reads or writes it.
    @exclusivity(unchecked) nonisolated(unsafe) static var current: HostCall?

    init(host: UnsafePointer<baton_host>, call: OpaquePointer?) {
        unsafe self.host = host
        unsafe self.call = call
    }

    /// Runs `body` with this call as the current one.
    func serve<Result>(_ body: () -> Result) -> Result {
        unsafe HostCall.current = self
        defer { unsafe HostCall.current = nil }
        return body()
    }

    func reply(_ reply: borrowing Reply) {
        unsafe host.pointee.reply(call, baton_bytes(reply.bytes))
    }

    func state(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe host.pointee.state(call, baton_bytes($0)) }
    }

    func fail(_ line: String) {
        unsafe withBytes(of: line) { unsafe host.pointee.fail(call, $0) }
    }

    func refuse(_ reason: String) {
        unsafe withBytes(of: reason) { unsafe host.pointee.refuse(call, $0) }
    }

    func log(_ level: baton_log_level, _ text: String) {
        unsafe withBytes(of: text) { unsafe host.pointee.log(call, level, $0) }
    }

    private func withBytes(of text: String, _ body: (baton_bytes) -> Void) {
        var text = text
        text.withUTF8 { unsafe body(baton_bytes(UnsafeRawBufferPointer($0))) }
    }
}

extension baton_bytes {
    init(_ buffer: UnsafeRawBufferPointer) {
        unsafe self.init(bytes: buffer.baseAddress, count: buffer.count)
    }

    var buffer: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: bytes, count: count)
    }
}
