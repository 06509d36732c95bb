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

    /// The number of the format that `snapshot` writes: 1, and one more whenever the format changes.
    /// 0, as it is if left out: not declared.
    static var stateVersion: UInt32 { get }

    /// The formats that `init(from:)` can take, this version's own among them: `1...3`. Where they
    /// are declared, Baton refuses an upgrade that cannot work before anything stops, and knows at
    /// a rollback whether this version can take what the newer one has made. `0...0`, as it is if
    /// left out: not declared, and only `init(from:)` can tell.
    static var takesStateVersions: ClosedRange<UInt32> { get }
}

/// A state and the code that made it.
public struct SavedState: Sendable {
    /// As `snapshot` returned it.
    public var bytes: [UInt8]
    /// The label of the version that returned it.
    public var version: String
    /// The number of its format, as that version declared it; 0 if it declared none.
    public var stateVersion: UInt32
    /// Whether that version is newer than this one: a rollback, or an upgrade to an older image.
    public var isDowngrade: Bool

    public init(
        bytes: [UInt8], version: String, stateVersion: UInt32 = 0, isDowngrade: Bool = false
    ) {
        self.bytes = bytes
        self.version = version
        self.stateVersion = stateVersion
        self.isDowngrade = isDowngrade
    }
}

extension Service where Self: ~Copyable {
    public static var name: String { "\(Self.self)" }
}

extension StatefulService where Self: ~Copyable {
    public init() throws { try self.init(from: nil) }

    public static var stateVersion: UInt32 { 0 }
    public static var takesStateVersions: ClosedRange<UInt32> { 0...0 }
}
