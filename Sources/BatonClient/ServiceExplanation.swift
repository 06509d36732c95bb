// ServiceExplanation: what EXPLAIN answers. Runs in baton and in tests.

package struct ServiceExplanation: Codable, Equatable, Sendable {
    package var service: String
    package var state: ServiceState
    /// What it is doing now.
    package var doing: String
    /// What it waits for, if for anything.
    package var waitsFor: String?
    /// The number of the message that this is about.
    package var message: Int?
    /// For how long it has been doing so.
    package var sinceMicroseconds: Int?
    /// What else there is to tell, and the next step.
    package var lines: [String]
}
