// Faults put into the simulated world itself, each of which breaks a promise: to see that the judgement
// finds them. Runs in the simulator.

package enum Mutant: String, CaseIterable, Sendable {
    /// Hosts publish replies one batch before the state that belongs to them.
    case repliesFirst = "replies-first"
    /// Hosts sometimes change the places of two messages.
    case swapsMessages = "swaps-messages"
    /// Hosts sometimes handle a message, and forget that they did.
    case forgetsMessage = "forgets-message"
    /// Hosts say that they stand still, and go on.
    case goesOnWhenSuspended = "goes-on-when-suspended"
    /// Hosts survive SIGKILL.
    case survivesKill = "survives-kill"
    /// Hosts do not ring when they have published.
    case forgetsToRing = "forgets-to-ring"
    /// Syncs do nothing, and say that they did.
    case liesAboutSyncs = "lies-about-syncs"
    /// Syncs are reported a second before they are done.
    case syncsLate = "syncs-late"
    /// What batond has written in the last moments before it is killed is lost.
    case losesWrites = "loses-writes"
    /// A client gives a message another id each time it sends it.
    case repeatsUnderAnotherID = "repeats-under-another-id"
}
