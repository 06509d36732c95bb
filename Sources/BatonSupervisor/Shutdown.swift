// The end in order: hosts finish the message in hand, what is handled is settled and synced, replies
// go out, then everything ends. What waits in the mailboxes stays there. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import BatonSystemd
import Glibc
import Logging

enum ShutdownState: Equatable {
    case running
    /// Hosts finish the message in hand.
    case suspending
    /// The last commits are made and replies sent.
    case releasing
    /// The mailboxes are closed.
    case closing
    case finished
}

extension Supervisor {
    var isStopping: Bool { shutdown != .running }

    func beginShutdown() {
        guard shutdown == .running else { return }
        emit(Event(.stopping))
        manager.stopping()
        shutdown = .suspending
        for listener in listeners { stopWatching(listener.socket.number, token: listener.token) }
        listeners = []
        for service in services.values {
            service.candidate?.kill("batond stops")
            service.quiesceCurrent()
        }
        _ = after(configuration.limits.shutdownTimeout) { [weak self] in
            guard let self, self.shutdown != .finished else { return }
            self.logger.warning("not everything ended in time; it is in the mailboxes")
            self.shutdown = .finished
        }
    }

    /// A service's host has finished.
    func isQuiet(_ service: Service) {
        guard shutdown == .suspending else { return }
        touch(service)
    }

    /// At the end of each turn: goes as far as it can without waiting.
    func advanceShutdown() {
        if shutdown == .suspending {
            guard services.values.allSatisfy({ $0.current?.machine.isInCharge != true }) else {
                return
            }
            shutdown = .releasing
            // Everything written is made durable, whatever the durability of its service.
            for service in services.values where service.mailbox.needsSync { commits(service) }
            beginCommit()
        }
        if shutdown == .releasing {
            guard commit.round == nil, commit.wanting.isEmpty, commit.gathering.isEmpty,
                // Events are told as far as they are read; replies are waited for.
                connections.values.allSatisfy({
                    !$0.output.hasReleased || $0.subscription != nil
                })
            else { return }
            shutdown = .closing
            for service in services.values where service.removal?.stage.isClosed != true {
                service.endLife()
            }
            beginCommit()
        }
        if shutdown == .closing, commit.round == nil { finishShutdown() }
    }

    private func finishShutdown() {
        for service in services.values {
            for host in [service.current, service.old] { host?.stop() }
        }
        for name in ["baton.sock", "control.sock"] + services.keys.map({ "services/\($0).sock" }) {
            _ = unsafe unlink("\(configuration.directories.runtime)/\(name)")
        }
        logger.notice("stopped")
        shutdown = .finished
    }
}
