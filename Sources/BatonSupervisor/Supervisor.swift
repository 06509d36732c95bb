// batond's one thread: the loop that everything happens in. This file is the loop and what it waits
// for; the others extend it: Clients (sockets in and out), Commands (what RESP clients ask),
// GroupCommit (persist before reply), Reload (images taken in), Shutdown.
//
// A turn: take what has come, let services take outcomes, write each service's batch with one
// pwrite, begin a commit if none runs and something waits for one, send what is released, sleep.

import BatonCore
import BatonLinux
import BatonStore
import BatonSystemd
import CLinux
import Glibc
import Logging

@safe package final class Supervisor {
    /// What a descriptor is watched for.
    enum Watched {
        case listener(Listener)
        case connection(Connection)
        case hostChannel(HostProcess)
        case hostBell(HostProcess)
        case hostExit(HostProcess)
        case signals
        case commits
        case housekeeping
        case checkpoints
    }

    var configuration: Configuration
    /// The configuration as its file is now; `nil`: it does not change.
    let rereadConfiguration: (() throws(ConfigurationRefusal) -> Configuration)?
    var logger: Logger
    let ground: any Ground
    let manager = ServiceManager()
    let state: StateDirectory
    /// Nobody else makes sockets there.
    var runtimeLock: OpenFile?
    let started: Moment
    private let startedAt: UInt64
    /// The time at which this turn began.
    private(set) var now: Moment

    private var loop: EventLoop
    private var watched: [(generation: UInt32, what: Watched?)] = []
    private var freeSlots: [Int] = []
    private var timers = Timers()
    private let signals: Descriptor

    var services: [ServiceName: Service] = [:]
    /// Services whose mailbox cannot be opened, and why.
    var outages: [ServiceName: Outage] = [:]
    /// Why nothing at all is written; `nil`: it is.
    let readOnlyReason: String?
    /// It was told that there is little room on the disk.
    var isRoomLow = false
    var listeners: [Listener] = []
    var connections: [ObjectIdentifier: Connection] = [:]
    var connectionsOfUser: [UInt32: Int] = [:]
    var counters = ClientCounters()
    /// What clients take of batond's memory.
    var memory: ClientMemory
    /// Connections that are told events.
    var subscribers: [Connection] = []
    /// How many descriptors this process may have.
    let descriptorLimit = Supervisor.raiseDescriptorLimit()
    /// Kept so that a client can be told when descriptors run out.
    var reserve: Descriptor?

    let committer: any DiskWorker
    let housekeeper: any DiskWorker
    let checkpointer: any DiskWorker
    var commit = GroupCommit()

    // What this turn has to do.
    private var touched: [Service] = []
    private var busy: [Service] = []
    var toFlush: [Connection] = []
    /// Clients that were held back and go on in the next turn.
    var toResume: [Connection] = []
    /// What came in this turn.
    private(set) var eventCount = 0
    /// Shared by all reads: beyond it, only unfinished input is kept, and what is held back.
    let scratch: UnsafeMutableRawBufferPointer
    /// Somebody's input is in `scratch`.
    var isParsing = false

    var intake = IntakeQueue()
    var keptImages: Set<String> = []
    var reload = ReloadState()
    var groups: [GroupRun] = []
    /// Services on their way out.
    var leaving: [Service] = []
    /// What is to be done once a service that came back runs, or it is known that it does not.
    var returning: [ServiceName: () -> Void] = [:]
    /// What the last reload did, for `STATUS=`.
    var lastSummary: String?
    var unsettledStarts: Set<ServiceName> = []
    var isReady = false
    /// `STATUS=` is to be said again soon.
    var isStatusDue = false
    var shutdown = ShutdownState.running
    package private(set) var exitCode: Int32 = 0
    /// Why the exit code is 74.
    package private(set) var failure = ""
    private var sandboxNoted = false

    /// - Parameters:
    ///   - readOnly: why nothing is to be written; `nil`: all is well.
    ///   - rereadConfiguration: called by each reload.
    package init(
        _ configuration: Configuration, logger: Logger, ground: any Ground,
        readOnly reason: String? = nil,
        rereadConfiguration: (() throws(ConfigurationRefusal) -> Configuration)? = nil
    ) throws(StartRefusal) {
        self.configuration = configuration
        self.rereadConfiguration = rereadConfiguration
        self.logger = logger
        self.ground = ground
        started = ground.now()
        startedAt = ground.wallMilliseconds()
        now = started
        (state, readOnlyReason) = try StateDirectory.open(
            configuration.directories.state, readOnly: reason)
        memory = ClientMemory(budget: configuration.limits.clientsBudget)
        unsafe scratch = .allocate(
            byteCount: FixedLimits.shortInputBytes + FixedLimits.readBytes, alignment: 16)
        do throws(SystemError) {
            loop = try EventLoop()
            signals = try ground.takeSignals([SIGHUP, SIGTERM, SIGINT, SIGUSR2])
            committer = try ground.makeWorker("commit")
            housekeeper = try ground.makeWorker("housekeeping")
            checkpointer = try ground.makeWorker("checkpoint")
            reserve = try .open("/dev/null", flags: O_RDONLY)
            _ = try watch(signals.number, .signals)
            _ = try watch(committer.descriptor, .commits)
            _ = try watch(housekeeper.descriptor, .housekeeping)
            _ = try watch(checkpointer.descriptor, .checkpoints)
        } catch { throw StartRefusal("\(error)") }
        keptImages = Set((try? DirectoryListing.names(state.imagesPath)) ?? [])
    }

    /// The usual soft limit of 1024 is for programs that use select; batond takes what it may have.
    private static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return 1024
        }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }

    deinit { unsafe scratch.deallocate() }

    // MARK: The loop

    /// Serves until it is told to stop.
    /// - Returns: the exit code.
    package func run() throws(StartRefusal) -> Int32 {
        try begin()
        while !isFinished { turn(waiting: timeToSleep()) }
        return exitCode
    }

    package var isFinished: Bool { shutdown == .finished }

    /// - Returns: how many events there were.
    @discardableResult
    package func turn(waiting: Moment.Span?) -> Int {
        let count = loop.wait(timeout: waiting)
        now = ground.now()
        eventCount = count + toResume.count
        resumeAll()
        for index in 0..<count {
            let event = loop.event(index)
            dispatch(event.token, event.interest)
        }
        for action in timers.takeDue(at: now) { action() }
        takeInPart()
        for service in busy {
            service.takeOutcomes()
            service.takeReplayed()
        }
        finishTurn()
        return count
    }

    private func finishTurn() {
        // A commit that needs no sync is over at once, and then there is more to be sent.
        repeat {
            while !touched.isEmpty {
                let services = touched
                touched = []
                for service in services { service.finishTurn() }
            }
            beginCommit()
            let connections = toFlush
            toFlush = []
            for connection in connections {
                connection.isToFlush = false
                flush(connection)
            }
            advanceShutdown()
        } while !touched.isEmpty || !toFlush.isEmpty || mayBeginCommit || advanceRemovals()
    }

    /// How long nothing can happen but an event.
    package func timeToSleep() -> Moment.Span? {
        if !intake.isEmpty || !toResume.isEmpty || shutdown == .finished { return .milliseconds(0) }
        // Raise the flags, then look once more: a host either sees the flag or is seen.
        busy.removeAll { service in
            if !service.isAtWork { service.isBusy = false }
            return !service.isAtWork
        }
        for service in busy {
            if let candidate = service.candidate, candidate.machine.isReplaying {
                candidate.ring.raise(.supervisorSleeps)
                if candidate.reader.isBehind(candidate.ring), service.upgrade.state != .trying {
                    return .milliseconds(0)
                }
            }
            guard let host = service.current, host.machine.isInCharge,
                !service.isHeldUpByClient, !service.isHeldUpByCheckpoint
            else { continue }
            host.ring.raise(.supervisorSleeps)
            if host.reader.isBehind(host.ring) { return .milliseconds(0) }
        }
        guard let next = timers.next else { return nil }
        return next.since(ground.now())
    }

    private func dispatch(_ token: UInt64, _ interest: EventLoop.Interest) {
        let slot = Int(token & 0xffff_ffff)
        // Something earlier in this turn may have closed it.
        guard slot < watched.count, watched[slot].generation == UInt32(token >> 32),
            let what = watched[slot].what
        else { return }
        switch what {
        case .listener(let listener): accept(listener)
        case .connection(let connection): ready(connection, interest)
        case .hostChannel(let host): host.service.channelIsReadable(host)
        case .hostBell(let host): _ = baton_eventfd_read(host.wakesSupervisor.number)
        case .hostExit(let host): hostHasEnded(host)
        case .signals: takeSignal()
        case .commits: commitsAreDone()
        case .housekeeping: houseIsKept()
        case .checkpoints: checkpointsAreWritten()
        }
    }

    private func takeSignal() {
        var information = signalfd_siginfo()
        while unsafe read(
            signals.number, &information, MemoryLayout<signalfd_siginfo>.size) > 0
        {
            switch Int32(information.ssi_signo) {
            case SIGHUP: requestReload { _ in }
            case SIGUSR2:
                logger.warning("SIGUSR2 is kept for the re-execution in place; nothing is done yet")
            default: beginShutdown()
            }
        }
    }

    // MARK: Watching

    func watch(_ descriptor: Int32, _ what: Watched, _ interest: EventLoop.Interest = .readable)
        throws(SystemError) -> UInt64
    {
        let token = reserveToken()
        try watch(descriptor, what, token: token, interest)
        return token
    }

    /// For what must know its token before it is watched.
    func reserveToken() -> UInt64 {
        if freeSlots.isEmpty {
            watched.append((0, nil))
            freeSlots.append(watched.count - 1)
        }
        let slot = freeSlots.removeLast()
        return UInt64(watched[slot].generation) << 32 | UInt64(slot)
    }

    func watch(
        _ descriptor: Int32, _ what: Watched, token: UInt64,
        _ interest: EventLoop.Interest = .readable
    ) throws(SystemError) {
        watched[Int(token & 0xffff_ffff)].what = what
        do throws(SystemError) { try loop.add(descriptor, interest, token: token) } catch {
            release(token)
            throw error
        }
    }

    func change(_ descriptor: Int32, _ interest: EventLoop.Interest, token: UInt64) {
        loop.change(descriptor, interest, token: token)
    }

    func stopWatching(_ descriptor: Int32, token: UInt64) {
        loop.remove(descriptor)
        release(token)
    }

    private func release(_ token: UInt64) {
        let slot = Int(token & 0xffff_ffff)
        guard watched[slot].generation == UInt32(token >> 32) else { return }
        watched[slot] = (watched[slot].generation &+ 1, nil)
        freeSlots.append(slot)
    }

    // MARK: Hosts

    func watch(_ host: HostProcess) throws(SystemError) {
        host.tokens.channel = try watch(host.channel.number, .hostChannel(host))
        host.tokens.bell = try watch(host.wakesSupervisor.number, .hostBell(host))
        host.tokens.exit = try watch(host.exit.number, .hostExit(host))
    }

    func stopWatchingChannel(of host: HostProcess) {
        guard let token = host.tokens.channel else { return }
        host.tokens.channel = nil
        stopWatching(host.channel.number, token: token)
    }

    private func hostHasEnded(_ host: HostProcess) {
        guard let exit = ground.reap(host.pid) else { return }
        // Its last words, then its end.
        host.service.channelIsReadable(host)
        stopWatchingChannel(of: host)
        if let token = host.tokens.bell {
            stopWatching(host.wakesSupervisor.number, token: token)
        }
        if let token = host.tokens.exit { stopWatching(host.exit.number, token: token) }
        host.tokens = HostProcess.Tokens()
        host.service.whenTaken(host) { [self] in
            host.service.hasEnded(host, exit)
            hasParted(host)
        }
    }

    func noteSandbox(_ bits: UInt8) {
        guard !sandboxNoted else { return }
        sandboxNoted = true
        let all = UInt8(BATON_SANDBOX_LANDLOCK | BATON_SANDBOX_SECCOMP)
        if bits & all != all {
            logger.warning(
                """
                hosts run without part of their sandbox: this kernel or container lacks Landlock \
                or seccomp
                """)
        }
    }

    // MARK: What services ask for

    /// The service has something to write at the end of this turn.
    func touch(_ service: Service) {
        guard !service.isTouched else { return }
        service.isTouched = true
        touched.append(service)
    }

    /// Outcomes are to be expected of it.
    func noteBusy(_ service: Service) {
        guard !service.isBusy, service.isAtWork else { return }
        service.isBusy = true
        busy.append(service)
        service.watchProgress()
    }

    func after(_ span: Moment.Span, _ action: @escaping () -> Void) -> Timers.Handle {
        timers.schedule(at: ground.now().advanced(by: span), action)
    }

    func cancel(_ handle: inout Timers.Handle?) {
        timers.cancel(handle)
        handle = nil
    }

    /// An upgrade has come so far: for faults on demand.
    func reached(_ point: FaultPoint, _ service: Service) { ground.reached(point, service) }

    /// For what is measured within a turn.
    func freshNow() -> Moment { ground.now() }

    /// Milliseconds since 1970 by the clock at the start and by one that does not jump since: for
    /// the age of ids.
    var steadyMilliseconds: UInt64 { startedAt + now.since(started).milliseconds }

    func log(for service: Service) -> Logger {
        var log = logger
        log[metadataKey: "service"] = "\(service.name)"
        return log
    }

    func keepHouse(_ job: DiskJob) { housekeeper.submit(job) }

    private func houseIsKept() {
        for result in housekeeper.take() {
            switch result {
            case .spare(let name, let byteCount, let error):
                spareIsReady(for: name, byteCount: byteCount, error)
            case .gone(let name, let count, let error):
                if let error { logger.warning("a settled segment of \(name) stays: \(error)") }
                services[name]?.segmentsAreGone(count, failed: error != nil)
            case .imageKept(let name, let fileName, let error):
                if error == nil { keptImages.insert(fileName) }
                services[name]?.imageIsKept(fileName, error)
            case .synced: housekeepingHasCaughtUp()
            case .checkpoint: break
            }
            lookAtRoom()
        }
    }

    private func checkpointsAreWritten() {
        for case .checkpoint(let name, let result) in checkpointer.take() {
            services[name]?.checkpointEnded(result)
        }
    }

    /// Baton's own ground gives way: nothing more is acknowledged; the next start recovers.
    func fail(_ reason: String) {
        guard shutdown != .finished else { return }
        logger.critical("batond ends, and recovers from disk at its next start: \(reason)")
        exitCode = 74
        failure = reason
        shutdown = .finished
    }

    // MARK: For the simulator

    /// What a wait in `turn` waits at.
    package var descriptor: Int32 { loop.descriptor }

    /// All its hosts.
    package var processes: [Int32] {
        services.values.flatMap { service in
            [service.current, service.candidate, service.old].compactMap { $0?.pid }
        }
    }

    /// Lets go of everything at once, as the kernel does for a process that was killed: nothing is
    /// said, nothing is written. The supervisor must not be used on.
    package func abandon() {
        timers = Timers()
        watched = []
        intake = IntakeQueue()
        reload = ReloadState()
        (returning, groups) = ([:], [])
        commit = GroupCommit()
        (touched, busy, toFlush, toResume) = ([], [], [], [])
        (listeners, subscribers) = ([], [])
        for connection in connections.values { connection.shutDown() }
        connections = [:]
        for service in Array(services.values) + leaving { service.abandon() }
        (services, leaving) = ([:], [])
    }
}
