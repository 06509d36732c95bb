// The payloads of the records that tell of remembered ids, and their part of the base record; since
// format 3. Used in batond.

import BatonCore

extension IDWindow.Identity {
    /// The payload of an identity record.
    /// - Parameter forgotten: the ids of messages up to this one are forgotten.
    func encoded(forgetting forgotten: UInt64) -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(forgotten)
        put(to: &writer)
        return writer.bytes
    }

    static func read(_ reader: inout PayloadReader) -> (
        identity: IDWindow.Identity, forgotten: UInt64
    )? {
        guard let forgotten = reader.integer(UInt64.self),
            let identity = IDWindow.Identity(&reader)
        else { return nil }
        return (identity, forgotten)
    }

    fileprivate func put(to writer: inout PayloadWriter) {
        writer.put(blob: key.client)
        writer.put(blob: key.id)
        writer.put(digest)
        writer.put(at)
    }

    fileprivate init?(_ reader: inout PayloadReader) {
        guard let client = reader.blob(), let id = reader.blob(),
            let digest = reader.integer(UInt128.self), let at = reader.integer(UInt64.self)
        else { return nil }
        self.init(key: IDWindow.Key(client: client, id: id), digest: digest, at: at)
    }
}

extension IDWindow.Answer {
    private static let replyMark: UInt8 = 1
    private static let errorMark: UInt8 = 2

    /// The payload of an answer record.
    /// - Parameter forgotten: the ids of messages up to this one are forgotten.
    func encoded(forgetting forgotten: UInt64) -> [UInt8] {
        var writer = PayloadWriter()
        writer.put(forgotten)
        put(to: &writer)
        return writer.bytes
    }

    static func read(_ reader: inout PayloadReader) -> (
        answer: IDWindow.Answer, forgotten: UInt64
    )? {
        guard let forgotten = reader.integer(UInt64.self), let mark = reader.integer(UInt8.self),
            let answer = IDWindow.Answer(mark, &reader)
        else { return nil }
        return (answer, forgotten)
    }

    fileprivate func put(to writer: inout PayloadWriter) {
        switch self {
        case .reply(let bytes):
            writer.put(Self.replyMark)
            writer.put(long: bytes)
        case .error(let code, let text):
            writer.put(Self.errorMark)
            writer.put(long: Array("\(code) \(text)".utf8))
        }
    }

    fileprivate init?(_ mark: UInt8, _ reader: inout PayloadReader) {
        guard let bytes = reader.long() else { return nil }
        switch mark {
        case Self.replyMark: self = .reply(bytes)
        case Self.errorMark:
            // A code has no space in it.
            guard let space = bytes.firstIndex(of: 32) else { return nil }
            self = .error(
                code: String(decoding: bytes[..<space], as: UTF8.self),
                text: String(decoding: bytes[(space + 1)...], as: UTF8.self))
        default: return nil
        }
    }
}

extension IDWindow {
    /// In a base record.
    var encodedByteCount: Int { 4 + byteCount }

    func put(to writer: inout PayloadWriter) {
        writer.put(UInt32(count))
        for entry in all {
            writer.put(entry.sequence)
            entry.identity.put(to: &writer)
            if let answer = entry.answer { answer.put(to: &writer) } else { writer.put(UInt8(0)) }
        }
    }

    /// - Returns: whether it could be read.
    mutating func read(_ reader: inout PayloadReader) -> Bool {
        guard let count = reader.integer(UInt32.self) else { return false }
        for _ in 0..<count {
            guard let sequence = reader.integer(UInt64.self),
                let identity = Identity(&reader), let mark = reader.integer(UInt8.self)
            else { return false }
            var entry = Entry(sequence: sequence, identity: identity, answer: nil)
            if mark != 0 {
                guard let answer = Answer(mark, &reader) else { return false }
                entry.answer = answer
            }
            guard restore(entry) else { return false }
        }
        return true
    }
}
