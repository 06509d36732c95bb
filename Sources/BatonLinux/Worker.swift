// One thread that performs jobs in order and hands the results back to the loop. Used in batond, for
// what blocks: syncs.

import CLinux
import Glibc

/// `submit` and `take` are for the loop's thread; `descriptor` is readable when results wait.
package final class Worker<Job: Sendable, Result: Sendable>: Sendable {
    private struct Queues {
        var jobs: [Job] = []
        var results: [Result] = []
    }

    private let queues = ToldMutex(Queues())
    private let hasJobs: Descriptor
    private let hasResults: Descriptor
    private let name: String
    private let perform: @Sendable (Job) -> Result

    /// - Parameter name: of the thread, at most 15 bytes.
    package init(name: String, perform: @escaping @Sendable (Job) -> Result) throws(SystemError) {
        hasJobs = try .event(blocking: true)
        hasResults = try .event()
        self.name = name
        self.perform = perform
        var thread = pthread_t()
        // The thread keeps the worker for the life of the process.
        let context = unsafe Unmanaged.passRetained(self as AnyObject).toOpaque()
        let failed = unsafe pthread_create(
            &thread, nil,
            { context in
                guard let context = unsafe context else { return nil }
                let worker = unsafe Unmanaged<AnyObject>.fromOpaque(context).takeRetainedValue()
                (worker as? any WorkerLoop)?.loop()
                return nil
            }, context)
        guard failed == 0 else { throw SystemError("start thread \(name)", code: failed) }
        _ = pthread_detach(thread)
    }

    package var descriptor: Int32 { hasResults.number }

    package func submit(_ job: Job) {
        queues.withLock { $0.jobs.append(job) }
        _ = baton_eventfd_write(hasJobs.number, 1)
    }

    /// The results since the last time, in order.
    package func take() -> [Result] {
        _ = baton_eventfd_read(hasResults.number)
        return queues.withLock { queues in
            let results = queues.results
            queues.results = []
            return results
        }
    }
}

private protocol WorkerLoop { func loop() }

extension Worker: WorkerLoop {
    fileprivate func loop() {
        _ = unsafe baton_name_thread(name)
        while true {
            guard baton_eventfd_read(hasJobs.number) > 0 else { return }
            while let job = queues.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) {
                let result = perform(job)
                queues.withLock { $0.results.append(result) }
                _ = baton_eventfd_write(hasResults.number, 1)
            }
        }
    }
}
