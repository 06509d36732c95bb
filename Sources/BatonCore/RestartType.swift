// Which ends of a host are followed by a new start: OTP's restart types.

package enum RestartType: String, CaseIterable, Sendable {
    /// Started again, however it ended.
    case permanent
    /// Started again after an abnormal end: a signal, or an exit code other than 0.
    case transient
    /// Never started again by itself.
    case temporary

    /// - Parameter wasNormal: it ended by itself, with exit code 0.
    /// - Returns: why it is not started again; `nil` if it is.
    package func barsStart(wasNormal: Bool) -> String? {
        switch self {
        case .permanent: nil
        case .transient:
            wasNormal ? "a transient service may end so: 'baton resume' starts it" : nil
        case .temporary:
            "a temporary service is not started again by itself: 'baton resume' starts it"
        }
    }
}
