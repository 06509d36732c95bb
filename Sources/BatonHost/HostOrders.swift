// What batond tells a host, and how the host obeys: between two messages. Runs in baton-host.

import BatonCore
import BatonLinux
import BatonWire
import CBaton
import CLinux
import Glibc

extension HostLoop {
    mutating func obey() {
        attention = ring.load(.attention)
        while true {
            do throws(SystemError) {
                switch try HostChannel.receive(on: HostChannel.Number.channel) {
                case .nothing: return
                case .end: leave()
                case .frame(let bytes, let descriptor):
                    guard let command = HostCommand(bytes) else { die("an unknown command") }
                    obey(command, descriptor)
                }
            } catch { die("\(error)") }
        }
    }

    private mutating func obey(_ command: HostCommand, _ descriptor: Int32?) {
        switch command {
        case .start(
            let stateBytes, let fromVersion, let stateLimit, let stateVersion, let downgrade):
            unsafe call.pointee.stateLimit = Int(stateLimit)
            let state = takeState(stateBytes.map(Int.init), descriptor)
            start(
                state, from: stateBytes == nil ? "" : fromVersion, stateVersion, downgrade)
        case .segment(let ordinal, let byteCount, let previousEnd):
            guard let descriptor else { die("a segment without its descriptor") }
            log.add(
                ordinal: ordinal, byteCount: byteCount, previousEnd: previousEnd,
                descriptor: descriptor)
        case .run(let position, let sequence, let carefulThrough, let dead):
            begin(at: position, sequence, passingOver: dead)
            self.carefulThrough = carefulThrough
            forgetReplay()
        case .proceed(let carefulThrough):
            self.carefulThrough = carefulThrough
            isRunning = true
        case .suspend(let generation):
            publish()
            isRunning = false
            Self.say(.suspended(generation: generation))
        case .stop: leave()
        case .replay(let position, let sequence, let through, let generation, let dead):
            begin(at: position, sequence, passingOver: dead)
            carefulThrough = 0
            replay = Replay(through: through, generation: generation)
            lastOfReplay = through
            if sequence > through { endReplay() }
        }
    }

    private mutating func begin(
        at position: LogPosition, _ sequence: UInt64, passingOver dead: [UInt64]
    ) {
        guard log.seek(position, sequence: sequence) else { die("no segment for \(position)") }
        self.dead = Set(dead)
        isRunning = true
    }

    mutating func endReplay() {
        guard let ended = replay else { return }
        forgetReplay()
        publish()
        isRunning = false
        Self.say(.suspended(generation: ended.generation))
    }

    private mutating func forgetReplay() {
        replay = nil
        lastOfReplay = .max
    }

    /// The state sent with a command; empty if there is none.
    private func takeState(_ byteCount: Int?, _ descriptor: Int32?) -> [UInt8] {
        guard let descriptor else { return [] }
        let memory = Descriptor(owning: descriptor)
        guard let byteCount else { return [] }
        var state = [UInt8](repeating: 0, count: byteCount)
        do throws(SystemError) {
            let got = try unsafe state.withUnsafeMutableBytes { buffer in
                Result { () throws(SystemError) in try unsafe memory.read(into: buffer, at: 0) }
            }.get()
            guard got == byteCount else { throw SystemError("read the state", code: EIO) }
        } catch { die("\(error)") }
        return state
    }

    private mutating func start(
        _ state: [UInt8], from version: String, _ stateVersion: UInt32, _ downgrade: Bool
    ) {
        if hasStarted { stop() }
        forgetReplay()
        isRunning = false
        unsafe call.pointee.reason = ""
        let version = Array(version.utf8)
        let result = unsafe state.withUnsafeBytes { state in
            unsafe version.withUnsafeBytes { version in
                var start = unsafe baton_start(
                    size: MemoryLayout<baton_start>.size,
                    state: baton_bytes(bytes: state.baseAddress, count: state.count),
                    from_version: baton_bytes(bytes: version.baseAddress, count: version.count),
                    state_version: stateVersion, downgrade: downgrade ? 1 : 0)
                return unsafe plugin.table.pointee.start(
                    plugin.table.pointee.context, host, handle, &start)
            }
        }
        guard result == 0 else {
            let reason = unsafe call.pointee.reason
            Self.say(
                .refused(
                    reason: reason.isEmpty ? "start returned \(result)" : reason))
            return
        }
        hasStarted = true
        if let lost = state.isEmpty ? nil : whyStateIsLost() {
            Self.say(.refused(reason: "start took the state, but \(lost)"))
        } else {
            Self.say(.started)
        }
    }

    /// What was taken must come out again, or a migration would be found to have failed only at the
    /// first message.
    private func whyStateIsLost() -> String? {
        if let failed = exportState() { return failed }
        let isHandedOver =
            unsafe plugin.table.pointee.snapshot == nil || call.pointee.stateCount != nil
        return isHandedOver ? nil : "snapshot hands none over"
    }

    private mutating func stop() {
        hasStarted = false
        if let stop = unsafe plugin.table.pointee.stop {
            unsafe stop(plugin.table.pointee.context, host, handle)
        }
    }

    /// The end in order: what is handled is published first.
    private mutating func leave() -> Never {
        publish()
        if hasStarted { stop() }
        exit(0)
    }
}
