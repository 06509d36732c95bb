// The ground that batond stands on: the kernel's clock, processes and threads. Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Glibc

package final class LinuxGround: Ground {
    package let bootID: [UInt8]

    /// Who dies where, once; `nil`: nobody.
    private var fault: FaultPlan?

    package init(fault: FaultPlan? = nil) {
        bootID = Self.readBootID()
        self.fault = fault
    }

    private let cycles = CycleClock()

    package func now() -> Moment { MonotonicClock.now() }

    package func age(ofCycles reading: UInt64) -> Moment.Span { cycles.age(of: reading) }

    package func wallMilliseconds() -> UInt64 {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(max(0, time.tv_sec)) &* 1000 &+ UInt64(time.tv_nsec) / 1_000_000
    }

    /// From the unit, which hides most of /proc from batond, or else from the kernel.
    private static func readBootID() -> [UInt8] {
        var text = unsafe getenv("BATON_BOOT_ID").map { unsafe String(cString: $0) } ?? ""
        if text.isEmpty {
            var bytes = [UInt8](repeating: 0, count: 64)
            do throws(SystemError) {
                let file = try Descriptor.open(
                    "/proc/sys/kernel/random/boot_id", flags: O_RDONLY)
                let got = unsafe read(file.number, &bytes, bytes.count)
                text = String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
            } catch {}
        }
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == 32 else { return [UInt8](repeating: 0, count: 16) }
        return stride(from: 0, to: 32, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }

    // MARK: Hosts

    package func spawnHost(
        _ program: String, arguments: [String], environment: [String],
        descriptors: [(source: Int32, target: Int32)]
    ) throws(SystemError) -> Spawn.Child {
        try Spawn.start(
            program, arguments: arguments, environment: environment, descriptors: descriptors)
    }

    package func kill(_ pid: Int32) { _ = Glibc.kill(pid, SIGKILL) }

    package func reap(_ pid: Int32) -> Spawn.Exit? { Spawn.reap(pid) }

    // MARK: Threads and signals

    package func makeWorker(_ name: String) throws(SystemError) -> any DiskWorker {
        try Worker<DiskJob, DiskJob.Result>(name: name, perform: DiskJob.perform)
    }

    package func takeSignals(_ signals: [Int32]) throws(SystemError) -> Descriptor {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        guard unsafe pthread_sigmask(SIG_BLOCK, &set, nil) == 0 else {
            throw .last("block signals")
        }
        // A file that may not grow, and a client that has gone, are errors, not ends.
        Glibc.signal(SIGXFSZ, SIG_IGN)
        Glibc.signal(SIGPIPE, SIG_IGN)
        return try Descriptor(
            "take signals", unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK)))
    }

    package func room(of directory: OpenFile) -> DiskRoom? { DiskRoom.of(directory.number) }

    package func reached(_ point: FaultPoint, _ service: Service) {
        guard let plan = fault, plan.point == point else { return }
        guard plan.time == 1 else {
            fault?.time -= 1
            return
        }
        let pid: Int32? =
            switch plan.victim {
            case .batond: getpid()
            case .current: service.current?.pid
            case .candidate: service.candidate?.pid
            case .old: service.old?.pid
            }
        // Not there now: the next time that it is.
        guard let pid else { return }
        fault = nil
        _ = Glibc.kill(pid, SIGKILL)
    }
}
