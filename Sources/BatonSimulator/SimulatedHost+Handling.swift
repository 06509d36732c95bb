// What a simulated host does with what it is told: takes a state, handles messages in order, publishes.
// It follows HostLoop step by step. Runs in the simulator.

import BatonCore
import BatonHost
import BatonLinux
import BatonWire
import CLinux
import Glibc

extension SimulatedHost {
    // MARK: Commands

    func obey(_ command: HostCommand, _ descriptor: consuming Descriptor?) {
        switch command {
        case .start(let stateBytes, let fromVersion, _, _, _):
            var state: [UInt8]?
            if stateBytes != nil, let descriptor { state = FileTree.read(descriptor.number) }
            replay = nil
            isRunning = false
            activity = .starting(state: state, fromVersion: fromVersion)
            wakeAt = simulation.now.advanced(by: startSpan)
        case .segment(let ordinal, let byteCount, let previousEnd):
            guard let descriptor else {
                return simulation.fail("host \(pid) was sent a segment without its descriptor")
            }
            log.add(
                ordinal: ordinal, byteCount: byteCount, previousEnd: previousEnd,
                descriptor: descriptor.release())
        case .run(let position, let sequence, let carefulThrough, let dead):
            begin(at: position, sequence, dead)
            self.carefulThrough = carefulThrough
            replay = nil
            simulation.checkWhoRuns(self)
        case .replay(let position, let sequence, let through, let generation, let dead):
            begin(at: position, sequence, dead)
            carefulThrough = 0
            replay = (through, generation)
            if mishap == .killedInReplay { isKilled() }
            if sequence > through { endReplay() }
        case .proceed(let carefulThrough):
            self.carefulThrough = carefulThrough
            isRunning = true
            if replay == nil { simulation.checkWhoRuns(self) }
        case .suspend(let generation):
            publish()
            isRunning = false
            if version.flaw == .neverSuspends { return beDeaf() }
            if mishap == .killedWhenAskedToSuspend { return end(.signal(SIGKILL)) }
            say(.suspended(generation: generation))
            if simulation.isMutant(.goesOnWhenSuspended) { isRunning = true }
            if mishap == .killedWhenSuspended { isKilled() }
        case .stop:
            publish()
            end(.code(0))
        }
    }

    private func begin(at position: LogPosition, _ sequence: UInt64, _ dead: [UInt64]) {
        guard log.seek(position, sequence: sequence) else {
            return simulation.fail("host \(pid) has no segment for \(position)")
        }
        self.dead = Set(dead)
        isRunning = true
    }

    private func endReplay() {
        guard let ended = replay else { return }
        replay = nil
        publish()
        isRunning = false
        say(.suspended(generation: ended.generation))
    }

    // MARK: The state

    private var startSpan: Moment.Span {
        version.flaw == .startsLate
            ? simulation.dice.milliseconds(3000...14000)
            : simulation.dice.microseconds(100...3000)
    }

    func start(_ bytes: [UInt8]?, _ fromVersion: String) {
        activity = .awake
        wakeAt = simulation.now
        switch version.flaw {
        case .crashesInStart: return end(.signal(SIGSEGV))
        case .hangsInStart: return beDeaf()
        case .refusesInStart: return say(.refused(reason: "the simulated state is refused"))
        case .none, .crashesInLoad, .hangsInLoad, .refusesInLoad, .startsLate,
            .crashesAtFirstMessage, .crashesAtTenthMessage, .neverSuspends, .forges,
            .repliesOtherwise:
            break
        }
        state = ModelState()
        if let bytes {
            var format: UInt32 = 0
            guard let given = ModelState(bytes, format: &format) else {
                return simulation.fail(
                    "host \(pid) was given a state that no version has written, from "
                        + "\(fromVersion)")
            }
            guard version.takes.contains(format) else {
                return say(.refused(reason: "\(version.name) cannot take format \(format)"))
            }
            state = given
        }
        hasStarted = true
        say(.started)
    }

    // MARK: Messages

    func wakeUp(_ flag: SharedRing.Word) {
        let rang = baton_eventfd_read(wakesHost.number) > 0
        guard rang || ring.load(.attention) != attention else {
            wakeAt = .distantFuture
            return
        }
        _ = ring.takeDown(flag)
        activity = .awake
        listen()
    }

    func listen() {
        if ring.load(.attention) != attention { obey() }
        var left = simulation.dice.number(1...12)
        while case .awake = activity, isRunning {
            guard outcomes.hasRoom(ring) else {
                publish()
                return sleep(.hostWaitsForRoom)
            }
            switch log.step(published: LogPosition(word: ring.load(.published))) {
            case .message(let sequence, let bytes): unsafe begin(sequence, bytes)
            case .none:
                publish()
                return sleep(.hostSleeps)
            case .broken(let reason):
                return simulation.fail("host \(pid) cannot read its log: \(reason)")
            }
            left -= 1
            guard left > 0, ring.load(.attention) == attention else {
                if case .awake = activity {
                    wakeAt = simulation.now.advanced(by: simulation.dice.microseconds(0...20))
                }
                return
            }
        }
        if case .awake = activity { sleep(.hostSleeps) }
    }

    private func sleep(_ flag: SharedRing.Word) {
        guard case .awake = activity else { return }
        ring.raise(flag)
        let mayGoOn =
            switch flag {
            case .hostWaitsForRoom: outcomes.hasRoom(ring)
            default: isRunning && log.isBefore(LogPosition(word: ring.peek(.published)))
            }
        guard !mayGoOn, ring.peek(.attention) == attention else {
            _ = ring.takeDown(flag)
            wakeAt = simulation.now.advanced(by: simulation.dice.microseconds(0...5))
            return
        }
        activity = .asleep(flag)
        wakeAt = .distantFuture
    }

    private func begin(_ sequence: UInt64, _ bytes: UnsafeRawBufferPointer) {
        isDirty = true
        if dead.remove(sequence) != nil {
            lastHandled = sequence
            unsafe outcomes.write(
                .passed, sequence: sequence, UnsafeRawBufferPointer(start: nil, count: 0), to: ring)
            return publishPerhaps(sequence)
        }
        guard let message = unsafe ModelMessage(bytes) else {
            return simulation.fail("message \(sequence) reads as nothing that was ever sent")
        }
        ring.store(.inHandSince, simulation.now.nanoseconds)
        ring.store(.inHand, sequence)
        inHand = message.id
        handledCount += 1
        if dies(over: message) { return end(.signal(SIGSEGV)) }
        var span: Moment.Span?
        if case .slow(let milliseconds) = message.trait {
            span = .milliseconds(UInt64(milliseconds))
        } else if simulation.dice.chance(1, in: 6) {
            span = simulation.dice.microseconds(5...400)
        }
        guard let span else { return finish(sequence, message) }
        activity = .handling(sequence: sequence, message)
        wakeAt = simulation.now.advanced(by: span)
    }

    private func dies(over message: ModelMessage) -> Bool {
        switch message.trait {
        case .poison: return true
        case .poisonFor(let name): if name == version.name { return true }
        case .plain, .slow, .failing, .largeReply: break
        }
        if case .killedAtMessage(let count) = mishap, handledCount == count { return true }
        return version.flaw == .crashesAtFirstMessage
            || version.flaw == .crashesAtTenthMessage && handledCount == 10
    }

    func finish(_ sequence: UInt64, _ message: ModelMessage) {
        lastHandled = sequence
        if simulation.ledger.handles(message.id) { simulation.noteProgress() }
        if version.flaw == .forges {
            state.messages.append(message.id)
            write(.reply, sequence &+ 3, [])
            return publish()
        }
        if message.trait == .failing {
            write(.failure, sequence, Array("FAILED \(message.id.number) \(howToFail)".utf8))
        } else {
            if let problem = simulation.ledger.problem(handling: message.id, in: state) {
                return simulation.fail("host \(pid) of \(service) \(version.name): \(problem)")
            }
            keep(message.id)
            stateChanged = true
            let reply = ModelReply(
                id: message.id, place: state.messages.count - 1, version: version.label)
            write(.reply, sequence, reply.bytes(isLarge: message.trait == .largeReply))
        }
        publishPerhaps(sequence)
    }

    private var howToFail: String {
        version.flaw == .repliesOtherwise ? "otherwise" : "on purpose"
    }

    private func keep(_ id: MessageID) {
        state.messages.append(id)
        let last = state.messages.count - 1
        if simulation.isMutant(.swapsMessages), last > 0, simulation.dice.chance(1, in: 20) {
            state.messages.swapAt(last, last - 1)
        }
        if simulation.isMutant(.forgetsMessage), simulation.dice.chance(1, in: 20) {
            state.messages[last] = MessageID(sender: 1000, count: last)
        }
    }

    private func publishPerhaps(_ sequence: UInt64) {
        guard !isGone(after: sequence) else { return }
        if usedMemory || sequence <= carefulThrough || simulation.dice.chance(1, in: 4) {
            publish()
        }
        if sequence == replay?.through { endReplay() }
    }

    /// A process may end between a message and its publication.
    private func isGone(after sequence: UInt64) -> Bool {
        guard case .killedBeforePublishing(let count) = mishap, handledCount == count else {
            return false
        }
        end(.signal(SIGKILL))
        return true
    }

    // MARK: Outcomes

    /// What does not fit into the ring goes through a memfd.
    private func write(_ kind: OutcomeKind, _ sequence: UInt64, _ bytes: [UInt8]) {
        let most = kind == .state ? simulation.scenario.inlineStateBytes : SharedRing.entryBytes
        guard bytes.count > most else {
            unsafe bytes.withUnsafeBytes {
                unsafe outcomes.write(kind, sequence: sequence, $0, to: ring)
            }
            return
        }
        usedMemory = true
        do throws(SystemError) {
            let memory = try Descriptor.memory("baton-large", size: 0)
            let put = unsafe pwrite(memory.number, bytes, bytes.count, 0)
            precondition(put == bytes.count, "memory for a large outcome")
            say(.large(byteCount: UInt32(bytes.count)), descriptors: [memory.number])
        } catch { return end(.code(70)) }
        let kind = kind == .state ? OutcomeKind.largeState : .largeReply
        unsafe outcomes.write(
            kind, sequence: sequence, UnsafeRawBufferPointer(start: nil, count: 0), to: ring)
    }

    func publish() {
        guard isDirty else { return }
        if stateChanged {
            var bytes = state.bytes(format: version.format, ballast: version.ballast)
            if simulation.isMutant(.repliesFirst) { swap(&bytes, &withheld) }
            if !bytes.isEmpty { write(.state, lastHandled, bytes) }
            stateChanged = false
        }
        isDirty = false
        usedMemory = false
        inHand = nil
        ring.store(.inHand, 0)
        ring.store(.inHandSince, 0)
        if outcomes.publish(ring), !simulation.isMutant(.forgetsToRing) {
            _ = baton_eventfd_write(wakesSupervisor.number, 1)
        }
    }
}
