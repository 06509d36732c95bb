// A daemon whose service is `trial`, as the tests of upgrades and rollbacks use it, and clients that
// look at its sums.

import BatonClient
import BatonLinux
import Foundation
import Glibc

extension TestDaemon {
    /// - Parameter trial: the version that runs first, and is confirmed.
    convenience init(_ trial: Trial, configuration: String) throws {
        try self.init(configuration: configuration)
        let verdict = try reload(trial.image(), as: "trial")
        guard verdict.verdict == .started else { throw Failure("trial: \(verdict)") }
    }

    func trial() throws -> ServiceStatus { try status("trial") }

    /// - Parameter wait: until the release is confirmed or rolled back.
    func upgrade(to trial: Trial, wait: Bool = false) throws -> ServiceVerdict {
        try client.upgrade("trial", image: try trial.file(in: directory), wait: wait).decoded()
    }

    func rollback() throws -> ServiceVerdict { try client.rollback("trial").decoded() }

    /// `baton` beside the test: for a command that waits.
    func batonBeside(_ arguments: String...) -> Background<Tool.Output> {
        let runtime = runtime.path
        return Background {
            try Tool.run(
                Products.program("baton"), arguments, environment: ["BATON_RUNTIME": runtime])
        }
    }

    /// Waits until the switch is durable, and this version in charge.
    func waitForSwitch(to version: String) throws {
        try wait(for: "the switch") {
            let status = try trial()
            return status.version == version && status.state == .running
        }
    }

    /// Waits until the last upgrade, or rollback, ended so.
    @discardableResult
    func lastUpgrade(is verdict: ServiceVerdict.Kind) throws -> ServiceVerdict {
        var last: ServiceVerdict?
        try wait(for: "the verdict \(verdict.rawValue)") {
            last = try trial().lastUpgrade
            return last?.verdict == verdict
        }
        guard let last else { throw Failure("no verdict") }
        return last
    }

    /// kill -9 of the host in charge, and another in its place, or in that of its version.
    func killCurrent() throws {
        guard let host = try trial().pid else { throw Failure("trial has no host") }
        _ = kill(pid_t(host), SIGKILL)
        try wait(for: "the next host") {
            let status = try trial()
            return status.pid != nil && status.pid != host && status.state == .running
        }
    }
}

/// Every message adds 1; every sum that was replied is kept.
struct TallyTalk: Conversation {
    private(set) var sums: [Int] = []

    func say(_ index: Int, to bytes: inout [UInt8]) { bytes.append(contentsOf: "sum 1\n".utf8) }

    mutating func hear(_ reply: ArraySlice<UInt8>, _ index: Int) throws {
        let text = String(decoding: reply, as: UTF8.self)
        guard let sum = Int(text), sum > sums.last ?? 0 else {
            throw Failure("message \(index) after the sum \(sums.last ?? 0) was answered '\(text)'")
        }
        sums.append(sum)
    }
}
