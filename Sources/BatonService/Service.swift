// What an author writes: one struct that conforms to `Service`, or to `StatefulService` if it keeps
// state, and one line that exports it:
//
//     import BatonService
//
//     struct Ping: Service {
//         static let version = "1"
//         mutating func handle(_ message: Message, reply: inout Reply) { reply.append("pong") }
//     }
//
//     @c(baton_service) public func service(abi: UInt32) -> ServiceTable? { Ping.table(abi) }
//
// Runs in baton-host, in the process of this one version. Every call comes from one thread, one at
// a time.

/// A service without state: it begins anew with each version and after each crash.
public protocol Service: ~Copyable {
    /// What this plugin is, for people. The type's name if left out.
    static var name: String { get }

    /// The label of this code, 1 to 63 printable characters. It is what `baton status` shows, and
    /// what a later version is told that its state comes from.
    static var version: String { get }

    /// Begins. An error refuses: the version does not go into service, and the operator is shown
    /// the error. See `Refusal`.
    init() throws

    /// Handles one message. What was appended to `reply` is the answer; an error is an answer too,
    /// and the message counts as handled. See `ServiceError`.
    mutating func handle(_ message: Message, reply: inout Reply) throws
}

/// A service that keeps state across versions and crashes.
public protocol StatefulService: Service, ~Copyable {
    /// Begins with what `snapshot` of this or another version made, or with nil the very first
    /// time. During an upgrade this is called while the old version still serves, and again if the
    /// state has changed since, so it must do nothing but take the state.
    ///
    /// A state that this version cannot take is an error, never a guess: the running version then
    /// carries on as if nothing had been asked.
    init(from saved: SavedState?) throws

    /// The whole state, in a form that later versions can read. Called after each message, unless
    /// that message's `reply.stateChanged` was set to false; the result is kept together with the
    /// reply, as one.
    func snapshot() -> [UInt8]
}

/// A state and the code that made it.
public struct SavedState: Sendable {
    /// As `snapshot` returned it.
    public var bytes: [UInt8]
    /// The label of the version that returned it.
    public var version: String

    public init(bytes: [UInt8], version: String) {
        self.bytes = bytes
        self.version = version
    }
}

extension Service where Self: ~Copyable {
    public static var name: String { "\(Self.self)" }
}

extension StatefulService where Self: ~Copyable {
    public init() throws { try self.init(from: nil) }
}
