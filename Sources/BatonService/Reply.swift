// The answer to one message. Runs in baton-host.

/// What `handle` fills. One buffer serves all replies of a service, so that a small one costs no
/// allocation.
@safe
public struct Reply: ~Copyable {
    /// In bytes. A buffer that grew beyond it is given back after the reply that needed it.
    private static let keptCapacity = 64 * 1024

    /// Memory for the reply, of which the first `count` bytes are written.
    private var buffer: UnsafeMutableRawBufferPointer

    /// In bytes.
    public private(set) var count = 0

    /// Whether the state has to be kept again after this message: true unless the handler says
    /// otherwise. False for a message that only asks saves the snapshot. Of no consequence in a
    /// service without state.
    public var stateChanged = true

    init() {
        unsafe buffer = .allocate(byteCount: 256, alignment: 16)
    }

    deinit {
        unsafe buffer.deallocate()
    }

    public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { unsafe append(UnsafeRawBufferPointer($0)) }
    }

    public mutating func append(_ message: Message) {
        unsafe message.withUnsafeBytes { unsafe append($0) }
    }

    public mutating func append(_ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe append($0) }
    }

    /// In decimal.
    public mutating func append(_ number: some BinaryInteger) {
        append(String(number))
    }

    private mutating func append(_ more: UnsafeRawBufferPointer) {
        reserve(more.count)
        unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: more)
        count += more.count
    }

    /// Makes room for `more` further bytes.
    private mutating func reserve(_ more: Int) {
        guard unsafe more > buffer.count - count else { return }
        let larger = unsafe UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(count + more, buffer.count * 2), alignment: 16)
        unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        unsafe buffer.deallocate()
        unsafe buffer = larger
    }

    /// Ready for the next message.
    mutating func reset() {
        if unsafe buffer.count > Reply.keptCapacity { self = Reply() }
        count = 0
        stateChanged = true
    }

    /// Valid until the next change.
    var bytes: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
    }
}
