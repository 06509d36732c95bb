// What the tests' clients talk about with the plugins, and how they know a right reply.

/// With stamp: `17` is answered `0003 17`, and versions never go back, unless they may.
struct StampTalk: Conversation {
    /// Where a version's first reply was.
    struct Boundary: Equatable {
        var version: Int
        var first: Int
    }
    private(set) var boundaries: [Boundary] = []
    private let versionsMayGoBack: Bool

    init(versionsMayGoBack: Bool = false) { self.versionsMayGoBack = versionsMayGoBack }

    mutating func say(_ index: Int, to bytes: inout [UInt8]) {
        append(index, to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
    }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        let label = reply.prefix(4)
        guard let version = number(label), reply.count > 5,
            number(reply.dropFirst(5)) == index
        else {
            throw Failure(
                "message \(index) was answered '\(String(decoding: reply, as: UTF8.self))'")
        }
        if let last = boundaries.last {
            guard version != last.version else { return }
            guard version > last.version || versionsMayGoBack else {
                throw Failure("message \(index) was answered by \(version) after \(last.version)")
            }
        }
        boundaries.append(Boundary(version: version, first: index))
    }

    /// How many of `total` replies each version gave.
    func counts(of total: Int) -> [Int: Int] {
        let ends = boundaries.dropFirst().map(\.first) + [total]
        return Dictionary(
            uniqueKeysWithValues: zip(boundaries, ends).map { ($0.version, $1 - $0.first) })
    }
}

/// With counter: every message adds 1, so sums grow; for one client alone, by 1.
struct SumTalk: Conversation {
    /// Whether nobody else adds.
    var isAlone: Bool
    /// The highest sum seen.
    private(set) var sum: Int

    init(isAlone: Bool, from sum: Int = 0) {
        self.isAlone = isAlone
        self.sum = sum
    }

    mutating func say(_ index: Int, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "1"))
        bytes.append(UInt8(ascii: "\n"))
    }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        guard let next = number(reply), isAlone ? next == sum + 1 : next > sum else {
            throw Failure(
                "after the sum \(sum) came '\(String(decoding: reply, as: UTF8.self))'")
        }
        sum = next
    }
}

/// With baton.sock: SEND, answered by growing sequence numbers.
struct ReceiptTalk: Conversation {
    private let command: [UInt8]
    private(set) var last = 0

    init(service: String, message: String) {
        let words = ["SEND", service, message]
        let text = "*3\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
        command = Array(text.utf8)
    }

    mutating func say(_ index: Int, to bytes: inout [UInt8]) { bytes.append(contentsOf: command) }

    /// `:17` and a carriage return.
    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        guard reply.first == UInt8(ascii: ":"), let sequence = number(reply.dropFirst().dropLast()),
            sequence > last
        else {
            throw Failure("SEND was answered '\(String(decoding: reply, as: UTF8.self))'")
        }
        last = sequence
    }
}

/// With faulty: replies of so many bytes.
struct LengthTalk: Conversation {
    let bytes: Int

    mutating func say(_ index: Int, to output: inout [UInt8]) {
        output.append(contentsOf: "reply \(bytes)\n".utf8)
    }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        guard reply.count == bytes else {
            let beginning = String(decoding: reply.prefix(80), as: UTF8.self)
            throw Failure("\(reply.count) bytes instead of \(bytes): '\(beginning)'")
        }
    }
}

private func append(_ number: Int, to bytes: inout [UInt8]) {
    var divisor = 1
    while number / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
        bytes.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
        divisor /= 10
    }
}

private func number(_ digits: ArraySlice<UInt8>) -> Int? {
    guard !digits.isEmpty, digits.count <= 18 else { return nil }
    var number = 0
    for digit in digits {
        guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
        number = number * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return number
}
