// A batond of a test's own: its directories, its service manager, its log, its end.

import BatonClient
import BatonLinux
import Foundation
import Glibc

final class TestDaemon {
    let directory: ScratchDirectory
    let runtime: RuntimeDirectory
    let plugins: String
    let state: String
    let log: String
    let notifications: Notifications
    /// Where the notifications of the batond that runs begin.
    private var begun = 0
    private let configuration: String?
    /// What stands for the name of the machine's boot, 32 hexadecimal digits: another from the next
    /// start on is another boot.
    var bootID = String(repeating: "b", count: 32)
    /// A command that becomes batond, such as `setpriv` with its options; none by default.
    var prefix: [String] = []
    private var process: ChildProcess?

    /// Starts batond with `images`, paths by service, and waits until it is ready.
    /// - Parameter configuration: its configuration file, in YAML.
    convenience init(_ images: [String: String] = [:], configuration: String? = nil) throws {
        try self.init(images, configuration: configuration, dieAt: nil)
    }

    /// - Parameter fault: who dies at which point of an upgrade, as `--die-at` takes it.
    init(_ images: [String: String] = [:], configuration: String?, dieAt fault: String?) throws {
        directory = try ScratchDirectory()
        plugins = try directory.makeDirectory("plugins")
        state = try directory.makeDirectory("state")
        runtime = RuntimeDirectory(path: try directory.makeDirectory("run"))
        log = "\(directory.path)/log"
        notifications = try Notifications(path: "\(directory.path)/notify")
        if let configuration {
            self.configuration = try directory.write(Data(configuration.utf8), "batond.yaml")
        } else {
            self.configuration = nil
        }
        for (service, image) in images { try install(image, as: service) }
        DaemonLog.begin(log)
        try start(dieAt: fault)
    }

    /// With plugins of this package: `TestDaemon(plugins: "ping", "counter")`.
    convenience init(plugins: String..., configuration: String? = nil) throws {
        let images = plugins.map { ($0, Products.image($0)) }
        try self.init(
            Dictionary(uniqueKeysWithValues: images), configuration: configuration)
    }

    deinit {
        process?.signal(SIGKILL)
        _ = try? process?.end()
        notifications.close()
        DaemonLog.end(log)
    }

    // MARK: Its life

    var pid: pid_t { process?.pid ?? 0 }

    var arguments: [String] {
        ["--plugins", plugins, "--state", state, "--runtime", runtime.path]
            + (configuration.map { ["--config", $0] } ?? [])
    }

    /// Starts it, and waits for `READY=1`.
    /// - Parameter fault: who dies at which point of an upgrade, as `--die-at` takes it.
    func start(dieAt fault: String? = nil) throws {
        try launch(dieAt: fault)
        try waitUntilReady()
    }

    /// Starts it, and waits for nothing.
    func launch(dieAt fault: String? = nil) throws {
        // The batond before this one may have said that it was ready just before its end.
        notifications.catchUp()
        let first = notifications.count
        let surroundings = Tool.surroundings.merging([
            "NOTIFY_SOCKET": notifications.path, "BATON_BOOT_ID": bootID,
        ]) { $1 }
        let words =
            prefix + [Products.program("batond")] + arguments
            + (fault.map { ["--die-at", $0] } ?? [])
        process = try ChildProcess(
            words[0], Array(words.dropFirst()), environment: surroundings, output: log, error: log)
        begun = first
    }

    /// Waits for `READY=1`.
    func waitUntilReady() throws {
        let end = ContinuousClock.now.advanced(by: .patience)
        while notifications.wait(for: "READY=1", from: begun, within: .milliseconds(50)) == nil {
            guard process?.isRunning == true else {
                throw Failure("batond ended before it was ready: \(DaemonLog.tail(log, lines: 5))")
            }
            guard ContinuousClock.now < end else {
                throw TimedOut(what: "READY=1", bound: .patience)
            }
        }
    }

    /// SIGTERM, and its end.
    @discardableResult
    func stop() throws -> Spawn.Exit {
        guard let process else { throw Failure("the daemon does not run") }
        process.signal(SIGTERM)
        let exit = try process.end()
        self.process = nil
        return exit
    }

    /// kill -9, and its end.
    func killHard() throws {
        guard let process else { throw Failure("the daemon does not run") }
        process.signal(SIGKILL)
        try process.end()
        self.process = nil
    }

    /// Its end by itself, at a fault that was asked for.
    @discardableResult
    func end() throws -> Spawn.Exit {
        guard let process else { throw Failure("the daemon does not run") }
        let exit = try process.end()
        self.process = nil
        return exit
    }

    func signal(_ number: Int32) { process?.signal(number) }

    /// SIGHUP, and the end of the reload.
    func reloadBySignal() throws {
        let before = notifications.count
        signal(SIGHUP)
        let begins = try notification("RELOADING=1", from: before)
        _ = try notification("READY=1", from: begins)
    }

    @discardableResult
    func notification(_ line: String, from start: Int) throws -> Int {
        guard let found = notifications.wait(for: line, from: start, within: .patience) else {
            throw TimedOut(what: "notification \(line)", bound: .patience)
        }
        return found
    }

    /// What the batond that runs has told its service manager.
    var told: [String] { Array(notifications.all.dropFirst(begun)) }

    var logText: String {
        String(decoding: FileManager.default.contents(atPath: log) ?? Data(), as: UTF8.self)
    }

    // MARK: Its images

    /// Puts an image into the plugin directory in one step, as an operator should.
    func install(_ image: Data, as service: String) throws {
        let new = "\(plugins)/.\(service).new"
        guard
            FileManager.default.createFile(
                atPath: new, contents: image, attributes: [.posixPermissions: 0o755])
        else { throw Failure("\(new) cannot be written") }
        guard unsafe rename(new, "\(plugins)/\(service).so") == 0 else {
            throw SystemError.last("rename \(new)")
        }
    }

    func install(_ image: String, as service: String) throws {
        try install(Data(contentsOf: URL(filePath: image)), as: service)
    }

    // MARK: Its answers

    var client: Daemon { Daemon(runtime: runtime) }

    func status(_ service: String) throws -> ServiceStatus {
        try client.status(service).decoded()
    }

    func call(_ service: String, _ message: String) throws -> String {
        String(decoding: try client.call(service, Array(message.utf8)), as: UTF8.self)
    }

    func upgrade(_ service: String, to image: String? = nil, force: Bool = false) throws
        -> ServiceVerdict
    {
        try client.upgrade(service, image: image, force: force).decoded()
    }

    /// Installs `image` and has it taken by RELOAD.
    func reload(_ image: Data, as service: String) throws -> ServiceVerdict {
        try install(image, as: service)
        let verdicts = try client.reload().decoded()
        guard let verdict = verdicts.first(where: { $0.service == service }) else {
            throw Failure("no verdict for \(service): \(verdicts)")
        }
        return verdict
    }

    /// A client of a service's line socket.
    func lines(_ service: String) throws -> LineClient {
        try LineClient(path: runtime.serviceSocket(service))
    }

    /// Sends `message`, one that sleeps, to a service at rest, and waits until its host has it in
    /// hand.
    func occupy(_ service: String, _ client: LineClient, with message: String) throws {
        guard let host = try status(service).pid.map(pid_t.init) else {
            throw Failure("\(service) has no host")
        }
        var rest = try SystemCall(of: host)
        try wait(for: "the host's rest") {
            rest = try SystemCall(of: host)
            return rest.waits
        }
        try client.send(message + "\n")
        try wait(for: "the message in hand") {
            let now = try SystemCall(of: host)
            return now.waits && !now.isSameCall(as: rest)
        }
    }

    func baton(_ arguments: String...) throws -> Tool.Output {
        try Tool.run(
            Products.program("baton"), arguments, environment: ["BATON_RUNTIME": runtime.path])
    }
}
