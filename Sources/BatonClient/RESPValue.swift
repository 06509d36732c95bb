// RESPValue: one reply. Runs in baton and in tests.

/// A value of RESP2 or RESP3, of those types that Baton sends.
package indirect enum RESPValue: Equatable, Sendable {
    case simpleString(String)
    /// `CODE text`, without the leading `-`.
    case error(String)
    case integer(Int)
    case bulk([UInt8])
    case null
    case boolean(Bool)
    case array([RESPValue])
    /// Something that is no reply: an event, in RESP3. In RESP2 such things are arrays.
    case push([RESPValue])
    /// Keys and values in the order sent.
    case map([Member])

    package struct Member: Equatable, Sendable {
        package let key: RESPValue
        package let value: RESPValue

        package init(key: RESPValue, value: RESPValue) {
            self.key = key
            self.value = value
        }
    }
}
