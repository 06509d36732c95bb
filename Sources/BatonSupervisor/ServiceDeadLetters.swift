// Poison messages: an attempt that failed is recorded before the next delivery; after too many the
// message is set aside as a dead letter, from where the operator has it delivered again or discards it.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging

extension Service {
    private var limits: Limits { supervisor.configuration.limits }

    /// A host died over the message.
    func countAttempt(_ sequence: SequenceNumber) {
        do throws(StoreError) {
            let attempts = try mailbox.recordAttempt(at: sequence)
            supervisor.touch(self)
            if attempts >= limits.attempts, setAside(sequence, after: attempts) {
                // The present death is still to be counted.
                excuse(Int(attempts) - 1)
            }
        } catch {
            guard case .noRoom = error else { return supervisor.fail("\(name): \(error)") }
            log.warning("the attempt at message \(sequence) is not counted: \(error)")
        }
    }

    /// Makes the message a dead letter: hosts pass over it, its sender is told.
    /// - Returns: false if it cannot be kept.
    @discardableResult
    func setAside(_ sequence: SequenceNumber, after attempts: UInt32) -> Bool {
        do throws(StoreError) {
            let bytes = try mailbox.message(sequence) ?? []
            try mailbox.bury(
                sequence, attempts: attempts, version: currentVersion ?? "",
                at: supervisor.ground.wallMilliseconds(), bytes: bytes)
            supervisor.touch(self)
            supervisor.commits(self)
            emit(
                .deadLetter,
                cause: "it killed its host \(attempts) times: 'baton mailbox \(name) --dead'",
                message: sequence.value)
            versionBefore?.passed.insert(sequence.value)
            return true
        } catch {
            switch error {
            case .noRoom:
                log.warning("message \(sequence) is not set aside: \(error)")
            case .deadLettersFull:
                stop(because: "message \(sequence) kills its hosts, and \(error)")
            case .corrupt:
                // What killed its hosts is the log, not the message: that stays.
                emit(.quarantined, cause: "\(error)", message: sequence.value)
                stop(because: "\(error)")
            case .system, .full, .slowDisk, .newerFormat, .tooLarge, .idsFull:
                supervisor.fail("\(name): \(error)")
            }
            return false
        }
    }

    /// Puts a dead letter at the end of the mailbox, as a new message that nobody waits for.
    /// - Returns: false if there is no such dead letter.
    func redeliver(_ sequence: UInt64) throws(StoreError) -> Bool {
        guard
            let letter = mailbox.standing.deadLetters.first(where: { $0.sequence == sequence })
        else { return false }
        var failed: StoreError?
        unsafe letter.bytes.withUnsafeBytes { bytes in
            do throws(StoreError) { _ = try unsafe mailbox.append(bytes) } catch { failed = error }
        }
        if let failed { throw failed }
        waiting.append(nil, slot: 0)
        // In the same batch, as a rule; if not, a crash between the two leaves it in both places.
        _ = try mailbox.forget(SequenceNumber(sequence))
        changed()
        emit(.redelivered, cause: "as message \(mailbox.appended)", message: sequence)
        return true
    }

    /// - Returns: false if there is no such dead letter.
    func discard(_ sequence: UInt64) throws(StoreError) -> Bool {
        guard try mailbox.forget(SequenceNumber(sequence)) else { return false }
        changed()
        emit(.discarded, message: sequence)
        return true
    }

    private func changed() {
        supervisor.touch(self)
        supervisor.commits(self)
        supervisor.noteBusy(self)
    }
}
