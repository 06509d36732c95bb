// What the supervisor stands on: clock, host processes, worker threads, signals. In batond it is
// Linux; the simulator brings another, on which the same supervisor runs from a seed.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Glibc

package protocol Ground: AnyObject {
    /// Of a clock that does not jump.
    func now() -> Moment
    /// How long ago a host stamped the message in hand.
    func age(ofCycles reading: UInt64) -> Moment.Span
    /// Since 1970: for people, never for a decision.
    func wallMilliseconds() -> UInt64
    /// 16 bytes that change with each boot of the machine; zeros if it cannot be known.
    var bootID: [UInt8] { get }

    /// - Parameter descriptors: (ours, its number in the host).
    func spawnHost(
        _ program: String, arguments: [String], environment: [String],
        descriptors: [(source: Int32, target: Int32)]
    ) throws(SystemError) -> Spawn.Child
    /// Ends a host at once.
    func kill(_ pid: Int32)
    /// How a host ended; `nil` if it has not.
    func reap(_ pid: Int32) -> Spawn.Exit?

    /// - Parameter name: of the thread, at most 15 bytes.
    func makeWorker(_ name: String) throws(SystemError) -> any DiskWorker
    /// Where `signalfd_siginfo` can be read; the signals do nothing else from here on.
    func takeSignals(_ signals: [Int32]) throws(SystemError) -> Descriptor

    /// How much room the file system of `directory` has; `nil` if that cannot be known.
    func room(of directory: OpenFile) -> DiskRoom?

    /// An upgrade of `service` has come so far: whoever is to die here dies.
    func reached(_ point: FaultPoint, _ service: Service)
}

/// What performs disk jobs in order, away from the loop.
package protocol DiskWorker: AnyObject {
    /// Readable when results wait.
    var descriptor: Int32 { get }
    func submit(_ job: DiskJob)
    /// The results since the last time, in order.
    func take() -> [DiskJob.Result]
}

extension Worker: DiskWorker where Job == DiskJob, Result == DiskJob.Result {}

extension Service {
    /// Its hosts' processes, by what they are to it.
    package var processes: (current: Int32?, candidate: Int32?, old: Int32?) {
        (current?.pid, candidate?.pid, old?.pid)
    }
}
