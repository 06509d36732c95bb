// What a service does when its mailbox is made durable: the commit asks it for what is to be synced, and
// tells it when that is done. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore

extension Service {
    func commitBegins() -> [SyncTarget] {
        wantsCommit = false
        if switchRecord == .written { switchRecord = .syncing }
        return mailbox.takeSync()
    }

    /// Ends a life in order, after everything was synced.
    func endLife() {
        // Without it the mailbox is as after a crash, which loses nothing either.
        do throws(StoreError) { try mailbox.mark() } catch { return }
        supervisor.commits(self)
    }

    /// Within a second what was synced is marked, so that damage to it is known for damage.
    private func markSoon() {
        guard !marksSoon, mailbox.wantsMark else { return }
        marksSoon = true
        _ = supervisor.after(.seconds(1)) { [weak self] in
            guard let self else { return }
            marksSoon = false
            guard removal == nil, !supervisor.isStopping else { return }
            do throws(StoreError) { try mailbox.mark() } catch {
                supervisor.fail("\(name): \(error)")
            }
        }
    }

    func segmentsAreGone(_ count: Int, failed: Bool) {
        mailbox.areGone(count, failed: failed)
        for job in mailbox.takeJobs() { supervisor.keepHouse(job) }
    }

    func commitEnds() {
        do throws(StoreError) { try mailbox.synced() } catch {
            supervisor.fail("\(name): \(error)")
            return
        }
        for job in mailbox.takeJobs() { supervisor.keepHouse(job) }
        markSoon()
        releaseHeldUp()
        boundProbation()
        goOnWithCheckpoint()
        if switchRecord == .syncing {
            switchRecord = .none
            perform(upgrade.switchIsDurable())
        }
    }
}
