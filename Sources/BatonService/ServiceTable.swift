// From a Swift service to the table of C functions that baton.h asks for. Runs in baton-host.
//
// C functions cannot be generic, so the author's type is erased through a class: `context` holds a
// `RunningService`. What the functions are given is valid for the call only; nothing of it is kept.

import CBaton

/// What the exported function returns.
public typealias ServiceTable = UnsafePointer<baton_table>

extension Service where Self: ~Copyable {
    /// The table of this service, or nil if the host speaks another ABI than this SDK.
    ///
    /// To be called by the exported function, once in the life of the process; the table lives as
    /// long.
    @safe public static func table(_ hostABI: UInt32) -> ServiceTable? {
        guard hostABI == BATON_ABI else { return nil }
        return unsafe makeTable(name, version, RunningStateless<Self>(), writes: 0, takes: 0...0)
    }
}

extension StatefulService where Self: ~Copyable {
    /// The table of this service, or nil if the host speaks another ABI than this SDK.
    ///
    /// To be called by the exported function, once in the life of the process; the table lives as
    /// long.
    @safe public static func table(_ hostABI: UInt32) -> ServiceTable? {
        guard hostABI == BATON_ABI else { return nil }
        return unsafe makeTable(
            name, version, RunningStateful<Self>(), writes: stateVersion,
            takes: takesStateVersions)
    }
}

/// The table and all it refers to are never freed: the host uses them until its process ends.
private func makeTable(
    _ name: String, _ version: String, _ service: RunningService, writes stateVersion: UInt32,
    takes: ClosedRange<UInt32>
) -> ServiceTable {
    let table = UnsafeMutablePointer<baton_table>.allocate(capacity: 1)
    unsafe table.initialize(
        to: baton_table(
            size: MemoryLayout<baton_table>.size,
            abi: BATON_ABI,
            name: permanentCString(name),
            version: permanentCString(version),
            context: Unmanaged.passRetained(service).toOpaque(),
            start: start,
            handle: handle,
            snapshot: service.keepsState ? snapshot : nil,
            stop: stop,
            state_version: stateVersion,
            takes_from: takes.lowerBound,
            takes_to: takes.upperBound))
    return unsafe UnsafePointer(table)
}

private func permanentCString(_ text: String) -> UnsafePointer<CChar> {
    let bytes = text.utf8CString
    let copy = UnsafeMutableBufferPointer<CChar>.allocate(capacity: bytes.count)
    _ = unsafe copy.initialize(fromContentsOf: bytes)
    return unsafe UnsafePointer(copy.baseAddress.unsafelyUnwrapped)
}

// MARK: - The functions of the table

private func start(
    context: UnsafeMutableRawPointer?, host: UnsafePointer<baton_host>?, call: OpaquePointer?,
    start: UnsafePointer<baton_start>?
) -> Int32 {
    guard let start = unsafe start else { return 1 }
    return unsafe serve(context, host, call) { service, call in
        do {
            try service.start(unsafe savedState(start))
            return 0
        } catch {
            call.refuse("\(error)")
            return 1
        }
    }
}

private func handle(
    context: UnsafeMutableRawPointer?, host: UnsafePointer<baton_host>?, call: OpaquePointer?,
    message: baton_bytes
) -> Int32 {
    unsafe serve(context, host, call) { service, call in
        let changed = service.handle(unsafe message.buffer.bytes, call)
        return Int32((changed ? BATON_CHANGED : BATON_UNCHANGED).rawValue)
    }
}

private func snapshot(
    context: UnsafeMutableRawPointer?, host: UnsafePointer<baton_host>?, call: OpaquePointer?
) -> Int32 {
    unsafe serve(context, host, call) { service, call in
        guard let state = service.snapshot() else { return 1 }
        call.state(state)
        return 0
    }
}

private func stop(
    context: UnsafeMutableRawPointer?, host: UnsafePointer<baton_host>?, call: OpaquePointer?
) {
    _ = unsafe serve(context, host, call) { service, _ in
        service.stop()
        return 0
    }
}

/// Finds the service again behind `context`, and calls `body` with it.
private func serve(
    _ context: UnsafeMutableRawPointer?, _ host: UnsafePointer<baton_host>?,
    _ call: OpaquePointer?, _ body: (RunningService, HostCall) -> Int32
) -> Int32 {
    guard let context = unsafe context, let host = unsafe host else {
        preconditionFailure("a host passes the table's context and its own table (baton.h)")
    }
    let hostCall = unsafe HostCall(host: host, call: call)
    let service = unsafe Unmanaged<RunningService>.fromOpaque(context)
    return unsafe service._withUnsafeGuaranteedRef { service in
        hostCall.serve { body(service, hostCall) }
    }
}

/// An empty state is none: there is nothing in it that a version could have come from.
private func savedState(_ start: UnsafePointer<baton_start>) -> SavedState? {
    let bytes = unsafe Array(start.pointee.state.buffer)
    guard !bytes.isEmpty else { return nil }
    let version = unsafe String(decoding: start.pointee.from_version.buffer, as: UTF8.self)
    // An older host's struct ends before the rest.
    guard unsafe start.pointee.size >= MemoryLayout<baton_start>.size else {
        return SavedState(bytes: bytes, version: version)
    }
    return SavedState(
        bytes: bytes, version: version, stateVersion: unsafe start.pointee.state_version,
        isDowngrade: unsafe start.pointee.downgrade != 0)
}
