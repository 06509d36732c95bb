// batond: the daemon. Reads its command line, then serves until it is told to stop.

import ArgumentParser
import BatonCore
import BatonSupervisor
import BatonSystemd
import Glibc
import Logging

@main struct Batond: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batond",
        abstract: "Hosts services that are upgraded while they work.",
        discussion: """
            Every .so file in the plugin directory is a service: ping.so is 'ping', and takes \
            messages, one a line, at RUNTIME/services/ping.sock. SIGHUP (or 'baton reload') takes \
            new files; SIGTERM stops in order. Runs in the foreground and logs to standard error \
            or the journal.

            Exit codes: 0 stopped in order; 64 usage; 69 refused to start; 74 the disk failed: what was \
            acknowledged is kept, start it again (if it fails again then, the next start serves \
            read-only); 78 the configuration is wrong.
            """,
        version: "0.3.1",
        subcommands: [CheckCommand.self, RepairCommand.self])

    @OptionGroup var files: FileOptions
    @Option(help: "Where the sockets are.")
    var runtime: String?
    @Option(help: "debug, info, notice, warning, error or critical.")
    var logLevel: String?
    @Flag(help: "Check the configuration, say what is wrong, and exit.")
    var check = false
    @Option(
        help: """
            For trying out what follows: kill -9 of batond, or of a host, when an upgrade comes to this \
            point, for the first time or the one that is said: \(FaultPlan.usage).
            """)
    var dieAt: String?

    mutating func validate() throws {
        try FileOptions.expect(runtime, of: "runtime")
        if let logLevel, Logger.Level(rawValue: logLevel) == nil {
            throw ValidationError(
                "--log-level \(logLevel): use debug, info, notice, warning, error or critical")
        }
        if let dieAt, FaultPlan(dieAt) == nil {
            throw ValidationError("--die-at \(dieAt): use \(FaultPlan.usage)")
        }
    }

    mutating func run() throws {
        LoggingSystem.bootstrap { _ in JournalLog() }
        var logger = Logger(label: "batond")
        let commandLine = self
        do {
            let configuration = try commandLine.readConfiguration()
            logger.logLevel = configuration.logLevel
            if check {
                let isThere = unsafe access(configuration.file, F_OK) == 0
                print(
                    "\(configuration.file): "
                        + (isThere ? "the configuration is right" : "not there: the defaults hold"))
                return
            }
            let code = try commandLine.serve(configuration, logger)
            throw ExitCode(code)
        } catch let refusal as ConfigurationRefusal {
            logger.critical("\(refusal)")
            throw ExitCode(78)
        } catch let refusal as StartRefusal {
            logger.critical("\(refusal)")
            throw ExitCode(69)
        }
    }

    /// Serves until it is told to stop, or the disk fails, which the next batond is to know.
    private func serve(_ configuration: Configuration, _ logger: Logger) throws(StartRefusal)
        -> Int32
    {
        let failures = DiskFailures(runtime: configuration.directories.runtime)
        let failure: String
        do throws(StartRefusal) {
            let supervisor = try Supervisor(
                configuration, logger: logger,
                ground: LinuxGround(fault: dieAt.flatMap(FaultPlan.init)),
                readOnly: failures.readOnlyReason, rereadConfiguration: readConfiguration)
            guard try supervisor.run() != 0 else {
                failures.forget()
                return 0
            }
            failure = supervisor.failure
        } catch {
            guard error.isFailingDisk else { throw error }
            logger.critical("\(error)")
            failure = error.reason
        }
        do { try failures.note(failure) } catch { logger.error("\(error)") }
        return 74
    }

    /// What the files say, and over it the command line: at the start, and again at each reload.
    func readConfiguration() throws(ConfigurationRefusal) -> Configuration {
        var configuration = try files.readConfiguration()
        if let runtime { configuration.directories.runtime = runtime }
        if let level = logLevel.flatMap(Logger.Level.init(rawValue:)) {
            configuration.logLevel = level
        }
        let absolute = configuration.absolute()
        try absolute.check(against: absolute.knownServices())
        return absolute
    }
}
