// Services whose hosts stand and fall together, as the children of one supervisor in OTP.

package struct Group: Equatable, Sendable {
    /// What happens to the others when a member's host has died and is to be started again.
    package enum Strategy: String, CaseIterable, Sendable {
        /// All are stopped and started again.
        case oneForAll = "one_for_all"
        /// Those behind it in the group's order are.
        case restForOne = "rest_for_one"
    }

    package var name: String
    package var strategy: Strategy
    /// In the order in which they are started; they are stopped in the opposite one.
    package var services: [ServiceName]
    /// Deaths of members within `restartPeriod` before all of them are stopped.
    package var restarts: Int
    package var restartPeriod: Moment.Span

    package init(
        name: String, strategy: Strategy, services: [ServiceName], restarts: Int,
        restartPeriod: Moment.Span
    ) {
        self.name = name
        self.strategy = strategy
        self.services = services
        self.restarts = restarts
        self.restartPeriod = restartPeriod
    }
}
