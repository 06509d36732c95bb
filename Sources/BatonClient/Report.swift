// Report: an answer in JSON, as it came and as values. Runs in baton and in tests.

import FoundationEssentials

/// What a reading command answered. The text is kept as it came, so that `--json` shows what
/// this client does not know yet.
package struct Report<Value: Decodable>: Sendable {
    /// In UTF-8.
    package let json: [UInt8]

    package init(json: [UInt8]) {
        self.json = json
    }

    package func decoded() throws(ClientError) -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(Value.self, from: Data(json))
        } catch {
            throw .malformedReply("\(Value.self): \(Self.place(error))")
        }
    }

    private static func place(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, _): return "no member '\(key.stringValue)'"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .dataCorrupted(let context):
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? context.debugDescription : "member '\(path)'"
        @unknown default: return "\(error)"
        }
    }
}
