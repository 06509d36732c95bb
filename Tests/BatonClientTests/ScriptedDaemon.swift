// A daemon that answers with the bytes it is told to, in the test's own thread: a Unix socket
// takes connections and bytes before anybody asks for them, so nobody has to wait.

import BatonLinux
import Glibc

struct ScriptedDaemon: ~Copyable {
    let directory: String
    private let listener: Descriptor
    private let path: String

    private init(directory: String, path: String, listener: consuming Descriptor) {
        self.directory = directory
        self.path = path
        self.listener = listener
    }

    /// Listens at `socket` in a new directory.
    static func start(socket: String = "baton.sock") throws -> ScriptedDaemon {
        var template = Array("/tmp/baton-client-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw SystemError.last("make a directory") }
        let bytes = template.dropLast().map { UInt8(bitPattern: $0) }
        let directory = String(decoding: bytes, as: UTF8.self)
        let path = "\(directory)/\(socket)"
        let listener = try UnixSocket.listen(path: path, mode: 0o600)
        return ScriptedDaemon(directory: directory, path: path, listener: listener)
    }

    deinit {
        unsafe unlink(path)
        unsafe rmdir(directory)
    }

    var socketPath: String { path }

    /// The next connection. Call it when one has been made.
    func accept() throws -> ScriptedConnection {
        guard let descriptor = try UnixSocket.accept(listener.number) else {
            throw SystemError("accept: nobody has connected", code: EAGAIN)
        }
        return ScriptedConnection(descriptor: descriptor)
    }

    /// The next connection, of a client in another thread.
    func acceptWaiting() throws -> ScriptedConnection {
        waitForInput(listener.number)
        return try accept()
    }
}

/// Waits until there is something to read or accept, for 10 s at most.
private func waitForInput(_ descriptor: Int32) {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&entry, 1, 10_000)
}

struct ScriptedConnection: ~Copyable {
    fileprivate let descriptor: Descriptor

    fileprivate init(descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// What the client has sent so far.
    func received() -> String {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe recv(descriptor.number, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT))
        }
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    /// The same once there is something, of a client in another thread.
    func receivedWaiting() -> String {
        waitForInput(descriptor.number)
        return received()
    }

    func answer(_ text: String) {
        let bytes = Array(text.utf8)
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe send(descriptor.number, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
        }
        precondition(sent == bytes.count, "the script does not fit the socket's buffer")
    }
}
