// The socket between batond and a host: frames with descriptors. Used in both processes.

import BatonCore
import CLinux
import Glibc

package enum HostChannel {
    /// The numbers of the descriptors that a host is started with.
    package enum Number {
        package static let channel: Int32 = 0
        package static let image: Int32 = 3
        package static let ring: Int32 = 4
        /// Rung by batond.
        package static let wakesHost: Int32 = 5
        /// Rung by the host.
        package static let wakesSupervisor: Int32 = 6
    }

    /// - Parameter waits: whether to wait for room; else a full channel is EAGAIN.
    package static func send(
        _ bytes: [UInt8], descriptors: [Int32] = [], on channel: Int32, waits: Bool
    ) throws(SystemError) {
        let sent = unsafe baton_send_frame(
            channel, bytes, bytes.count, descriptors, descriptors.count,
            waits ? 0 : Int32(MSG_DONTWAIT))
        guard sent == bytes.count else { throw .last("send a frame") }
    }

    package enum Received: ~Copyable {
        case frame([UInt8], descriptor: Int32?)
        case nothing
        /// The other side has gone.
        case end
    }

    /// - Returns: a frame; the descriptor that came with it is the caller's to close.
    package static func receive(on channel: Int32) throws(SystemError) -> Received {
        var bytes = [UInt8](repeating: 0, count: FixedLimits.frameBytes)
        var descriptors: [Int32] = [-1]
        var count = 1
        let got = unsafe baton_receive_frame(
            channel, &bytes, bytes.count, &descriptors, &count, Int32(MSG_DONTWAIT))
        if got < 0 {
            if errno == EAGAIN { return .nothing }
            if errno == ECONNRESET { return .end }
            throw .last("receive a frame")
        }
        if got == 0 { return .end }
        bytes.removeLast(bytes.count - got)
        return .frame(bytes, descriptor: count == 1 ? descriptors[0] : nil)
    }
}
