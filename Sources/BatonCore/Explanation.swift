// What a service is doing now, and what it waits for: the answer of `baton explain`. Pure.

package struct Explanation: Equatable, Sendable {
    /// One sentence.
    package var doing: String
    package var waitsFor: String?
    /// The message in hand.
    package var message: UInt64?
    /// For how long it has been so.
    package var since: Moment.Span?
    /// What else an operator should know, a sentence each.
    package var lines: [String]

    package init(
        doing: String, waitsFor: String? = nil, message: UInt64? = nil, since: Moment.Span? = nil,
        lines: [String] = []
    ) {
        self.doing = doing
        self.waitsFor = waitsFor
        self.message = message
        self.since = since
        self.lines = lines
    }
}
