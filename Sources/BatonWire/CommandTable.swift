// CommandTable: every command of baton.sock and control.sock. Runs in batond.

/// A command's name. The cases stand in the order of likely use, in which they are looked up.
package enum CommandName: String, CaseIterable, Sendable {
    case call = "CALL"
    case send = "SEND"
    case ping = "PING"
    case status = "STATUS"
    case explain = "EXPLAIN"
    case mailbox = "MAILBOX"
    case subscribe = "SUBSCRIBE"
    case unsubscribe = "UNSUBSCRIBE"
    case reload = "RELOAD"
    case upgrade = "UPGRADE"
    case rollback = "ROLLBACK"
    case confirm = "CONFIRM"
    case redeliver = "REDELIVER"
    case discard = "DISCARD"
    case suspend = "SUSPEND"
    case resume = "RESUME"
    case purge = "PURGE"
    case hello = "HELLO"
    case client = "CLIENT"
    case command = "COMMAND"
    case config = "CONFIG"
    case info = "INFO"
    case select = "SELECT"
    case quit = "QUIT"

    /// The command that `bytes` name, in upper or lower case.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard let name = unsafe Self.table.lookUp(bytes) else { return nil }
        self = name
    }

    private static let table = KeywordTable<CommandName>()

    /// How many arguments may follow the name.
    package var argumentCount: ClosedRange<Int> {
        switch self {
        case .call: 2...6
        case .send: 2...4
        case .ping, .status: 0...1
        case .mailbox: 1...2
        case .subscribe: 1...16
        case .unsubscribe: 0...16
        case .quit: 0...0
        case .reload: 0...2
        case .upgrade: 1...10
        case .rollback: 1...2
        case .explain, .confirm, .suspend, .resume, .purge, .select: 1...1
        case .redeliver, .discard: 2...2
        case .hello: 0...6
        case .client, .config: 1...64
        case .command: 0...1023
        case .info: 0...16
        }
    }

    /// Whether it changes what runs, so that only control.sock takes it.
    package var changes: Bool {
        switch self {
        case .reload, .upgrade, .rollback, .confirm, .redeliver, .discard, .suspend, .resume,
            .purge:
            true
        case .call, .send, .ping, .status, .explain, .mailbox, .subscribe, .unsubscribe, .hello,
            .client,
            .command,
            .config, .info, .select, .quit:
            false
        }
    }

    /// Whether it does nothing but answer.
    package var isQuestion: Bool {
        switch self {
        case .status, .explain, .mailbox, .ping, .command, .config, .info: true
        case .call, .send, .reload, .rollback, .confirm, .redeliver, .discard, .upgrade, .suspend,
            .resume, .purge, .hello, .client, .select, .quit, .subscribe, .unsubscribe:
            false
        }
    }

    /// Whether a subscriber that speaks RESP2 may ask it, as with Redis.
    package var isForSubscribers: Bool {
        switch self {
        case .ping, .subscribe, .unsubscribe, .quit: true
        case .call, .send, .status, .explain, .mailbox, .reload, .rollback, .confirm, .redeliver,
            .discard, .upgrade, .suspend, .resume, .purge, .hello,
            .client,
            .command, .config, .info, .select:
            false
        }
    }

    /// The command with its arguments, as documentation writes it.
    package var usage: String {
        switch self {
        case .call: "CALL service payload [ID id] [TIMEOUT ms]"
        case .send: "SEND service payload [ID id]"
        case .ping: "PING [text]"
        case .status: "STATUS [service]"
        case .explain: "EXPLAIN service"
        case .mailbox: "MAILBOX service [DEAD]"
        case .subscribe: "SUBSCRIBE events"
        case .unsubscribe: "UNSUBSCRIBE [events]"
        case .reload: "RELOAD [DRYRUN] [WAIT]"
        case .upgrade:
            "UPGRADE service [IMAGE path] [FORCE] [REHEARSE count [ALLOW count]] [DRYRUN] [WAIT]"
        case .rollback: "ROLLBACK service [FORCE]"
        case .confirm: "CONFIRM service"
        case .redeliver: "REDELIVER service sequence|ALL"
        case .discard: "DISCARD service sequence|ALL"
        case .suspend: "SUSPEND service"
        case .resume: "RESUME service"
        case .purge: "PURGE service"
        case .hello: "HELLO [2|3 [AUTH user password] [SETNAME name]]"
        case .client: "CLIENT subcommand [argument ...]"
        case .command: "COMMAND [subcommand [argument ...]]"
        case .config: "CONFIG GET name [name ...]"
        case .info: "INFO [section ...]"
        case .select: "SELECT 0"
        case .quit: "QUIT"
        }
    }

    /// The text of the error for a count outside of `argumentCount`.
    package var wrongNumberOfArguments: String { "wrong number of arguments: \(usage)" }
}

/// A word within a command's arguments that has a meaning of its own.
package enum CommandOption: String, CaseIterable, Sendable {
    case timeout = "TIMEOUT"
    case id = "ID"
    case image = "IMAGE"
    case force = "FORCE"
    case rehearse = "REHEARSE"
    case allow = "ALLOW"
    case dryRun = "DRYRUN"
    case wait = "WAIT"
    case dead = "DEAD"

    /// The option that `bytes` name, in upper or lower case.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard let option = unsafe Self.table.lookUp(bytes) else { return nil }
        self = option
    }

    package init?(_ text: String) {
        var text = text
        guard let option = text.withUTF8({ unsafe CommandOption(UnsafeRawBufferPointer($0)) })
        else { return nil }
        self = option
    }

    private static let table = KeywordTable<CommandOption>()
}

/// Looks words up in upper or lower case, without making a String.
private struct KeywordTable<Name: CaseIterable & RawRepresentable & Sendable>: Sendable
where Name.RawValue == String {
    private let words: [(word: UInt128, name: Name)]

    init() {
        words = Name.allCases.compactMap { name in
            var spelling = name.rawValue
            return spelling.withUTF8 { unsafe Self.pack(UnsafeRawBufferPointer($0)) }
                .map { ($0, name) }
        }
    }

    func lookUp(_ bytes: UnsafeRawBufferPointer) -> Name? {
        guard let word = unsafe Self.pack(bytes) else { return nil }
        for entry in words where entry.word == word { return entry.name }
        return nil
    }

    /// Up to 15 bytes as one number, letters in upper case; nil for more. The leading 1 keeps
    /// words apart that differ in leading zero bytes. Clearing the case bit cannot turn anything
    /// but a letter into a letter.
    private static func pack(_ bytes: UnsafeRawBufferPointer) -> UInt128? {
        guard bytes.count <= 15 else { return nil }
        var word: UInt128 = 1
        for index in 0..<bytes.count {
            word = unsafe word << 8 | UInt128(bytes[index] & 0xdf)
        }
        return word
    }
}
