// DeadLetterChoice: which dead letters are meant. Runs in batond and baton.

/// Which dead letters REDELIVER and DISCARD are about.
package enum DeadLetterChoice: Equatable, Sendable {
    case all
    case one(UInt64)

    /// `nil` where `word` is neither a sequence number nor ALL.
    package init?(_ word: String) {
        if word.uppercased() == "ALL" {
            self = .all
        } else if let sequence = UInt64(word), "\(sequence)" == word, sequence > 0 {
            self = .one(sequence)
        } else {
            return nil
        }
    }

    package var word: String {
        switch self {
        case .all: "ALL"
        case .one(let sequence): "\(sequence)"
        }
    }
}
