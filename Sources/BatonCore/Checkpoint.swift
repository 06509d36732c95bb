// Where a large state lies on disk: in a slot of its mailbox's directory, named by a record of the
// log. Used in batond.

package struct Checkpoint: Hashable, Sendable {
    /// Which of the mailbox's slots.
    package var slot: UInt8
    package var byteCount: Int
    /// Of the state's bytes, seeded with the mailbox and the slot: tells whether the slot holds them.
    package var crc: UInt32

    package init(slot: UInt8, byteCount: Int, crc: UInt32) {
        self.slot = slot
        self.byteCount = byteCount
        self.crc = crc
    }
}
