// Which earlier state leads to one that lies in a slot, and how far back the log is needed for it.

import BatonCore
import Testing

@Suite("The state beside one in a slot")
struct EarlierStateTests {
    private static func slotted(_ slot: UInt8, _ byte: UInt8 = 7) -> MailboxMachine.State {
        MailboxMachine.State(
            bytes: [byte], version: "a",
            checkpoint: Checkpoint(slot: slot, byteCount: 1, crc: UInt32(byte)))
    }
    /// As it is kept beside another: without its bytes.
    private static func named(_ slot: UInt8, _ byte: UInt8 = 7) -> MailboxMachine.State {
        var state = slotted(slot, byte)
        state.bytes = []
        return state
    }

    private func settle(
        _ machine: inout MailboxMachine, _ sequence: UInt64, _ state: MailboxMachine.State,
        isCopy: Bool = false
    ) -> Bool {
        machine.settle(upTo: SequenceNumber(sequence), slotted: state, isCopy: isCopy)
    }

    private func earlier(_ state: MailboxMachine.State?, _ sequence: UInt64)
        -> MailboxMachine.Earlier
    {
        MailboxMachine.Earlier(state: state, settled: SequenceNumber(sequence))
    }

    @Test("It is the one before, as of the last message before the new one's")
    func before() {
        var machine = MailboxMachine()
        _ = machine.settle(upTo: SequenceNumber(3), state: nil, format: 0)
        #expect(settle(&machine, 5, Self.slotted(0)))
        #expect(machine.earlier == earlier(nil, 3))
        #expect(machine.needed == SequenceNumber(3))
        _ = machine.settle(upTo: SequenceNumber(8), state: nil, format: 0)
        #expect(machine.earlier == earlier(nil, 3))
        #expect(settle(&machine, 9, Self.slotted(1)))
        // It stayed the state while 6 to 8 were handled.
        #expect(machine.earlier == earlier(Self.named(0), 8))
        #expect(machine.needed == SequenceNumber(8) && machine.settled == SequenceNumber(9))
    }

    @Test("One that the log holds is kept whole")
    func inline() {
        var machine = MailboxMachine()
        _ = machine.settle(upTo: SequenceNumber(2), state: [1, 2], format: 4)
        #expect(settle(&machine, 3, Self.slotted(0)))
        #expect(
            machine.earlier
                == earlier(MailboxMachine.State(bytes: [1, 2], version: "", format: 4), 2))
    }

    @Test("There is none beside a state in the log, nor beside one that no message led to")
    func none() {
        var machine = MailboxMachine()
        _ = settle(&machine, 3, Self.slotted(0))
        _ = machine.settle(upTo: SequenceNumber(4), state: [1], format: 0)
        #expect(machine.earlier == nil && machine.needed == machine.settled)
        _ = settle(&machine, 5, Self.slotted(0))
        #expect(settle(&machine, 5, Self.slotted(1)))
        #expect(machine.earlier == nil && machine.needed == machine.settled)
    }

    @Test("A copy needs nothing handled, and must not pass anything")
    func copy() {
        var machine = MailboxMachine()
        _ = settle(&machine, 3, Self.slotted(0))
        _ = machine.settle(upTo: SequenceNumber(9), state: nil, format: 0)
        #expect(!settle(&machine, 10, Self.slotted(1), isCopy: true))
        #expect(settle(&machine, 9, Self.slotted(1), isCopy: true))
        #expect(machine.earlier == earlier(Self.named(0), 9))
        #expect(machine.needed == SequenceNumber(9))
    }

    @Test("A state that lies in no slot, or before the cursor, is refused")
    func refused() {
        var machine = MailboxMachine()
        _ = machine.settle(upTo: SequenceNumber(3), state: nil, format: 0)
        #expect(!settle(&machine, 2, Self.slotted(0)))
        #expect(!settle(&machine, 4, MailboxMachine.State(bytes: [1], version: "a")))
        #expect(machine.settled == SequenceNumber(3) && machine.state == nil)
    }

    @Test("A switch keeps it, unless it brings a state of its own")
    func switches() {
        var machine = MailboxMachine()
        machine.apply(Release.a.newly())
        _ = settle(&machine, 3, Self.slotted(0))
        machine.apply(Release.b.newly())
        #expect(machine.earlier == earlier(nil, 0))
        #expect(machine.fallback?.state == Self.slotted(0))
        _ = settle(&machine, 6, Self.slotted(1))
        // A rollback needs the log from 3 on, this state only from there.
        #expect(machine.neededForWayBack == SequenceNumber(3))
        #expect(machine.earlier == earlier(Self.named(0), 3))
        var back = Release.a.newly(.rollback)
        back.state = Self.slotted(2)
        machine.apply(back)
        #expect(machine.state == Self.slotted(2) && machine.earlier == nil)
        #expect(machine.fallback == nil)
    }

    @Test("A dead letter is passed over as long as somebody may handle the messages again")
    func dead() {
        var machine = MailboxMachine()
        _ = settle(&machine, 3, Self.slotted(0))
        _ = machine.bury(4, nil)
        _ = settle(&machine, 5, Self.slotted(1))
        #expect(machine.dead == [4])
        _ = settle(&machine, 6, Self.slotted(0))
        #expect(machine.dead == [])
    }
}
