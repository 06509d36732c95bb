// What the operator has set for one service, or for all of them. Runs in batond.

import BatonCore

package struct ServiceSettings: Equatable, Sendable {
    package var durability: Durability
    package var restart: RestartType
    /// How long a new release is provisional; zero: it is confirmed at once.
    package var probation: Moment.Span
    /// Settled messages that a candidate handles in the shadow before it takes over; 0: none.
    package var rehearse: Int
    /// Replies that may differ in a rehearsal.
    package var rehearseAllow: Int
    /// Restarts of a host within `restartPeriod` before the service is stopped.
    package var restarts: Int
    package var restartPeriod: Moment.Span
    /// Who may talk to it; `nil`: whom its socket's mode lets in.
    package var access: AccessList?

    package init(
        durability: Durability, restart: RestartType, probation: Moment.Span, rehearse: Int,
        rehearseAllow: Int, restarts: Int, restartPeriod: Moment.Span, access: AccessList? = nil
    ) {
        self.durability = durability
        self.restart = restart
        self.probation = probation
        self.rehearse = rehearse
        self.rehearseAllow = rehearseAllow
        self.restarts = restarts
        self.restartPeriod = restartPeriod
        self.access = access
    }

    /// What is set for one service alone; `nil`: as for all.
    package struct Overrides: Equatable, Sendable {
        package var durability: Durability?
        package var restart: RestartType?
        package var probation: Moment.Span?
        package var rehearse: Int?
        package var rehearseAllow: Int?
        package var restarts: Int?
        package var restartPeriod: Moment.Span?
        package var access: AccessList?

        package init() {}
    }
}
