// ServiceEvent: what a subscriber is told. Runs in baton and in tests.

package struct ServiceEvent: Codable, Equatable, Sendable {
    /// RFC 3339, in UTC.
    package var time: String?
    /// Nil where it concerns the daemon as a whole.
    package var service: String?
    /// `upgraded`, `host_ended`, ... or `missed`, with `count`.
    package var event: String
    package var phase: String?
    package var from: String?
    package var to: String?
    /// SHA-256 of an image, in hexadecimal.
    package var digest: String?
    package var cause: String?
    package var pid: Int?
    package var message: Int?
    package var durationMicroseconds: Int?
    /// So many events were dropped, as they were not read in time.
    package var count: Int?
}
