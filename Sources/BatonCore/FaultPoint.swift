// The moments of an upgrade at which `batond --die-at` has a process killed, for anybody who wants to
// see for himself what follows. Pure.

/// In the order in which an upgrade passes them.
package enum FaultPoint: String, CaseIterable, Sendable {
    /// The candidate has been started as a process; nothing of it is known yet.
    case prepare
    /// The current host stands still; its outcomes are all in.
    case suspended
    /// The version before the current one has been told to end.
    case purged
    /// The candidate has loaded its image.
    case loaded
    /// The candidate has taken the last state.
    case migrated
    /// The switch record is written, and not known to be durable.
    case switchWritten = "switch-written"
    /// The switch record is durable; the candidate does not have the cursor yet.
    case switchDurable = "switch-durable"
    /// The candidate has the cursor.
    case resumed
}
