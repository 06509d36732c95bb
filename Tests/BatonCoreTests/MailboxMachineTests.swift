// What a mailbox knows: every state of its release times every event.

import BatonCore
import Testing

@Suite("What a mailbox knows")
struct MailboxMachineTests {
    @Test(
        "Every state times every event", arguments: MailboxPlace.allCases, MailboxEvent.allCases)
    func everything(place: MailboxPlace, event: MailboxEvent) {
        var machine = place.machine
        var expected = machine
        let changes = MailboxTable.rows[place]?[event]
        for change in changes ?? [] { change.apply(to: &expected) }
        #expect(event.happen(to: &machine) == (changes != nil))
        #expect(machine == expected)
    }

    @Test("Each state is what its events lead to")
    func places() {
        let none = MailboxPlace.none.machine
        #expect(none.tenure == .none && none.release == nil && none.fallback == nil)
        #expect(none.needed == SequenceNumber(6) && none.dead == [8] && none.upgrades == 0)
        let confirmed = MailboxPlace.confirmed.machine
        #expect(confirmed.tenure == .confirmed(Release.a.release))
        #expect(confirmed.release == Release.a.release && confirmed.fallback == nil)
        #expect(confirmed.needed == SequenceNumber(6) && confirmed.dead == [8])
        #expect(confirmed.upgrades == 0 && confirmed.history.count == 1)
        let provisional = MailboxPlace.provisional.machine
        #expect(provisional.tenure == .provisional(Release.b.release, MailboxPlace.fallback))
        #expect(provisional.release == Release.b.release)
        #expect(provisional.fallback == MailboxPlace.fallback)
        #expect(provisional.needed == SequenceNumber(2) && provisional.dead == [4, 8])
        #expect(provisional.upgrades == 1 && provisional.switchedAfter == SequenceNumber(2))
        #expect(provisional.history.map(\.release.version) == ["a", "b"])
        for machine in [none, confirmed, provisional] {
            #expect(machine.settled == SequenceNumber(6) && machine.attempts == [7: 1])
            #expect(machine.deadLetters.map(\.sequence) == [4, 8])
            #expect(machine.deadLetterCount == 2)
        }
    }

    @Test("An image is known by its digest, not by its version")
    func sameVersion() {
        var machine = MailboxPlace.confirmed.machine
        var other = Release.b.newly()
        other.release.version = "a"
        machine.apply(other)
        #expect(machine.fallback?.release == Release.a.release)
        var back = Release.a.newly()
        back.release.version = "renamed"
        machine.apply(back)
        #expect(machine.tenure == .confirmed(back.release))
    }

    @Test("Several upgrades on the heels of each other fall back to the one that was confirmed")
    func onTheHeels() {
        var machine = MailboxPlace.provisional.machine
        machine.apply(Release.c.newly())
        _ = machine.settle(upTo: SequenceNumber(9), state: Array("nine".utf8), format: 0)
        machine.apply(Release.b.newly())
        #expect(machine.fallback == MailboxPlace.fallback)
        #expect(machine.needed == SequenceNumber(2))
        #expect(machine.upgrades == 3)
        let isConfirmed = machine.confirm()
        #expect(isConfirmed && machine.release == Release.b.release)
        machine.apply(Release.a.newly())
        #expect(machine.fallback?.release == Release.b.release)
        #expect(machine.fallback?.state == MailboxPlace.state("nine", by: "c", format: 0))
        #expect(machine.needed == SequenceNumber(9) && machine.dead == [])
    }

    @Test("A switch that brings a state leaves the one before it to the fallback")
    func stateOfASwitch() {
        var machine = MailboxPlace.confirmed.machine
        machine.apply(Release.b.newly(state: MailboxPlace.state("new", by: "b")))
        #expect(machine.state == MailboxPlace.state("new", by: "b"))
        #expect(machine.fallback?.state == MailboxPlace.state("six", by: "a"))
        machine.apply(Release.a.newly(.boot, state: machine.fallback?.state))
        #expect(machine.state == MailboxPlace.state("six", by: "a"))
        let both = Release.a.newly(state: MailboxPlace.state("x", by: "a"), dropsState: true)
        #expect(!both.dropsState)
    }

    @Test(
        "A way back from a confirmed release is confirmed: nobody falls back to what he has left",
        arguments: [MailboxMachine.Cause.rollback, .byHand, .boot])
    func wayBack(cause: MailboxMachine.Cause) {
        var machine = MailboxPlace.confirmed.machine
        machine.apply(Release.b.newly(cause))
        #expect(machine.tenure == .confirmed(Release.b.newly(cause).release))
    }

    @Test("The last eight switches are remembered, each with its cause; upgrades are counted")
    func history() {
        var machine = MailboxMachine()
        let causes = MailboxMachine.Cause.allCases
        for number in 0..<13 {
            var new = Release.a.newly(causes[number % causes.count])
            new.release.version = "\(number)"
            new.at = UInt64(number)
            machine.apply(new)
        }
        #expect(machine.history.map(\.release.version) == (5..<13).map { "\($0)" })
        #expect(machine.history.map(\.at) == (5..<13).map { UInt64($0) })
        #expect(machine.history.map(\.cause) == (5..<13).map { causes[$0 % 5] })
        // The first of all is not counted.
        #expect(machine.upgrades == 2)
    }

    @Test("There is room for so many dead letters, and so many bytes, or for a single larger one")
    func room() {
        var machine = MailboxMachine()
        #expect(machine.hasRoom(forLetterOf: FixedLimits.deadLetterBytes * 4))
        for sequence in 1...UInt64(FixedLimits.deadLetters) {
            #expect(machine.hasRoom(forLetterOf: 1))
            _ = machine.bury(sequence, MailboxPlace.letter(sequence % 256))
        }
        #expect(!machine.hasRoom(forLetterOf: 0))
        _ = machine.forget(7)
        let rest = FixedLimits.deadLetterBytes - machine.deadLetters.count
        #expect(machine.hasRoom(forLetterOf: rest) && !machine.hasRoom(forLetterOf: rest + 1))
    }

    @Test("A dead letter is kept when the cursor has passed it, and forgotten only by itself")
    func letters() {
        var machine = MailboxPlace.confirmed.machine
        _ = machine.settle(upTo: SequenceNumber(100), state: nil, format: 0)
        #expect(machine.dead == [] && machine.deadLetters.map(\.sequence) == [4, 8])
        let isForgotten = machine.forget(8)
        #expect(isForgotten && machine.deadLetters.map(\.sequence) == [4])
        #expect(machine.deadLetterCount == 2)
        let isForgottenTwice = machine.forget(8)
        #expect(!isForgottenTwice)
    }
}
