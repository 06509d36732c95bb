// What the sender of a message is told when its outcome is taken; and so is whoever has sent it again
// by its id. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonWire

extension Service {
    @inline(__always)
    func deliver(_ reply: UnsafeRawBufferPointer, to sequence: UInt64) {
        if mailbox.standing.ids.entry(of: sequence) != nil {
            // Copied once: the host can still write to the original.
            return unsafe remember(.reply(Array(reply)), to: sequence)
        }
        let run = nextToHear()
        guard let connection = run.connection else { return }
        connection.reply(run.slot, gated: isGated) { bytes in
            unsafe connection.frame.append(reply, to: &bytes)
        }
        note(replyTo: connection)
    }

    func deliverFailure(_ text: UnsafeRawBufferPointer, to sequence: UInt64) {
        // Copied once; a code and a text, one line.
        let text = unsafe String(decoding: text, as: UTF8.self)
        let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        let code = parts.first.map(String.init) ?? "FAILED"
        let isCode = code.allSatisfy { $0.isASCII && ($0.isUppercase || $0.isNumber) }
        deliverError(
            to: sequence, isCode ? code : "FAILED",
            isCode ? (parts.count > 1 ? String(parts[1]) : "the service gives no reason") : text)
    }

    func deliverPoison(to sequence: UInt64) {
        let letter = mailbox.standing.deadLetters.first { $0.sequence == sequence }
        let attempts = letter?.attempts ?? supervisor.configuration.limits.attempts
        deliverError(
            to: sequence, "POISON",
            "message \(sequence) killed its host \(attempts) times and was set aside: do not send "
                + "it again before the service is mended")
    }

    func deliverError(to sequence: UInt64, _ code: String, _ text: String) {
        if mailbox.standing.ids.entry(of: sequence) != nil {
            return remember(.error(code: code, text: text), to: sequence)
        }
        let run = nextToHear()
        guard let connection = run.connection else { return }
        connection.replyError(run.slot, gated: isGated, code, text)
        note(replyTo: connection)
    }

    /// Who waits for the next outcome, which has come.
    private func nextToHear() -> WaitingQueue.Run {
        guard let run = waiting.first else { preconditionFailure("nobody waits for an outcome") }
        waiting.advance(by: 1)
        return run
    }

    // MARK: Messages with ids

    /// The answer to a message that bears an id: told to all who wait for it, and kept with the
    /// settle record that follows.
    private func remember(_ answer: IDWindow.Answer, to sequence: UInt64) {
        answers.append((SequenceNumber(sequence), answer))
        let run = nextToHear()
        if let connection = run.connection {
            tell(connection, run.slot, answer)
            note(replyTo: connection)
        }
        for call in repeats.removeValue(forKey: sequence) ?? [] {
            tell(call.connection, call.slot, answer)
            note(replyTo: call.connection)
        }
    }

    /// Writes the answers to what is about to be settled.
    func keepAnswers() throws(StoreError) {
        guard !answers.isEmpty else { return }
        let (at, bounds) = (supervisor.steadyMilliseconds, supervisor.configuration.limits.ids)
        for (sequence, answer) in answers {
            try mailbox.answer(sequence, answer, at: at, within: bounds)
        }
        answers.removeAll(keepingCapacity: true)
    }

    func tell(_ connection: Connection, _ slot: UInt64, _ answer: IDWindow.Answer) {
        switch answer {
        case .error(let code, let text):
            connection.replyError(slot, gated: isGated, code, text)
        case .reply(let reply):
            connection.reply(slot, gated: isGated) { bytes in
                unsafe reply.withUnsafeBytes { unsafe connection.frame.append($0, to: &bytes) }
            }
        }
    }
}
