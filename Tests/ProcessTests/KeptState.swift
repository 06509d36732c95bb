// The state directory of a batond, from outside: its files damaged by hand, and what `baton check` and
// `baton repair` say of it.

import BatonClient
import BatonLinux
import Foundation

struct KeptState {
    let daemon: TestDaemon

    /// What `baton check --json` answers.
    struct Report: Decodable {
        struct Mailbox: Decodable {
            var service: String
            var mailbox: String
            var removed: Bool
            var appended: Int
            var settled: Int
            var waiting: Int
            var segments: Int
            var tornBytes: Int
            var version: String?
        }
        struct Finding: Decodable {
            var kind: String
            var service: String?
            var place: String?
            var what: String
            var next: String?
        }
        var state: String
        var inUseBy: Int?
        var well: Bool
        var mailboxes: [Mailbox]
        var findings: [Finding]

        /// Those with which something is wrong.
        var faults: [Finding] { findings.filter { $0.kind != "noted" } }
        func mailbox(_ service: String) -> Mailbox? { mailboxes.first { $0.service == service } }
    }

    /// What `baton repair --json` answers.
    struct Repair: Decodable {
        var service: String
        var found: String
        var repaired: Bool
        var lost: [[Int]]?
        var again: [[Int]]?
        var stateLost: Bool?
        var waiting: Int?
        var kept: String?
        var mailbox: String?
    }

    private var files: [String] {
        Array(
            daemon.arguments.enumerated().filter { index, word in
                let option = word.hasPrefix("--") ? word : daemon.arguments[index - 1]
                return option != "--runtime"
            }.map(\.element))
    }

    func baton(_ words: String...) throws -> Tool.Output {
        try Tool.run(Products.program("baton"), words + files)
    }

    func check(_ services: String...) throws -> (report: Report, exit: Spawn.Exit) {
        let output = try Tool.run(
            Products.program("baton"), ["check"] + services + files + ["--json"])
        do {
            return (try Self.decode(output.output), output.exit)
        } catch { throw Failure("\(error): \(output.output)\(output.error)") }
    }

    func repair(_ service: String) throws -> Repair {
        let output = try baton("repair", service, "--json", "--yes")
        guard output.exit == .code(0) else { throw Failure(output.error) }
        return try Self.decode(output.output)
    }

    private static func decode<Answer: Decodable>(_ text: String) throws -> Answer {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Answer.self, from: Data(text.utf8))
    }

    // MARK: Damage

    func mailbox(_ service: String) -> String { "\(daemon.state)/mailboxes/\(service)" }

    func segments(_ service: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: mailbox(service)).sorted()
            .filter { $0.hasSuffix(".segment") }.map { "\(mailbox(service))/\($0)" }
    }

    func change(_ path: String, _ change: (inout Data) throws -> Void) throws {
        let file = try FileHandle(forUpdating: URL(filePath: path))
        defer { try? file.close() }
        var bytes = try file.readToEnd() ?? Data()
        try change(&bytes)
        try file.truncate(atOffset: 0)
        try file.seek(toOffset: 0)
        try file.write(contentsOf: bytes)
    }

    /// Flips a bit of the first place in a service's log where `text` stands.
    func rot(_ text: String, in service: String) throws {
        for path in try segments(service) {
            var isDone = false
            try change(path) { bytes in
                guard let place = bytes.range(of: Data(text.utf8)) else { return }
                bytes[place.lowerBound] ^= 1
                isDone = true
            }
            if isDone { return }
        }
        throw Failure("'\(text)' is not in the log of \(service)")
    }
}
