// A simulated client's end of a Unix socket: everything without waiting. Runs in the simulator.

import BatonLinux
import Glibc

final class ClientSocket {
    private let socket: Descriptor
    private var unsent: [UInt8] = []
    var answers: ReplyStream

    /// `nil` if nobody listens there.
    init?(path: String, isRESP: Bool) {
        guard let made = try? UnixSocket.connect(path: path) else { return nil }
        guard (try? made.setNonBlocking()) != nil else { return nil }
        socket = made
        answers = ReplyStream(isRESP: isRESP)
    }

    var number: Int32 { socket.number }
    var hasUnsent: Bool { !unsent.isEmpty }

    func send(_ bytes: [UInt8]) {
        unsent += bytes
        sendMore()
    }

    func sendMore() {
        while !unsent.isEmpty {
            let went = unsafe Glibc.send(number, unsent, unsent.count, Int32(MSG_NOSIGNAL))
            guard went > 0 else { return }
            unsent.removeFirst(went)
        }
    }

    /// Takes what has come; false when the other side has ended.
    func receive() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = unsafe recv(number, &buffer, buffer.count, 0)
            if got > 0 {
                answers.append(buffer[..<got])
                continue
            }
            return got < 0 && errno == EAGAIN
        }
    }

    func endSending() { _ = shutdown(number, Int32(SHUT_WR)) }
}
