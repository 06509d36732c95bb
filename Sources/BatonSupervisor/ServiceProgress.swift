// A host that makes no progress for handle_timeout is ended, and the message in hand is charged: it hangs,
// or was stopped. One timer while messages wait, none at rest. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore

/// What was seen when the service last made progress, or another host took over.
struct ProgressWatch {
    var settled: SequenceNumber
    var pid: Int32?
    var at: Moment
}

extension Service {
    /// The time that one message may take; `nil`: as long as it likes.
    private var bound: Moment.Span? {
        let bound = supervisor.configuration.limits.handleTimeout
        return bound > .milliseconds(0) ? bound : nil
    }

    /// Looks after the current host from here on, until nothing waits.
    func watchProgress() {
        guard watch == nil, !waiting.isEmpty, let bound else { return }
        watch = ProgressWatch(
            settled: mailbox.standing.settled, pid: current?.pid, at: supervisor.now)
        lookForProgress(in: bound)
    }

    private func lookForProgress(in bound: Moment.Span) {
        _ = supervisor.after(Moment.Span(nanoseconds: bound.nanoseconds / 4)) { [weak self] in
            guard let self else { return }
            // A reload may have changed it.
            guard let bound = self.bound, !self.waiting.isEmpty, let host = self.current,
                // One that was asked to suspend has its message in hand all the same.
                host.machine.isInCharge, let last = self.watch
            else {
                self.watch = nil
                return
            }
            let now = self.supervisor.freshNow()
            let settled = self.mailbox.standing.settled
            if last.settled != settled || last.pid != host.pid || self.isHeldUpByClient {
                self.watch = ProgressWatch(settled: settled, pid: host.pid, at: now)
            } else if now.since(last.at) >= bound {
                self.watch = nil
                host.kill("\(self.busyText), and handle_timeout is \(bound)")
                return
            }
            self.lookForProgress(in: bound)
        }
    }
}
