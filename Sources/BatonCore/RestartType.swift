// Which ends of a host are followed by a new start: OTP's restart types.

package enum RestartType: String, CaseIterable, Sendable {
    /// Started again, however it ended.
    case permanent
    /// Started again after an abnormal end: a signal, or an exit code other than 0.
    case transient
    /// Never started again by itself.
    case temporary
}
