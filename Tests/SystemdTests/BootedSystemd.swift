// Runs Tests/systemd/inside in a booted systemd, with the programs and images that lie beside the
// test's own program.

import Foundation

enum BootedSystemd {
    /// The exit status of `boot` where no systemd can be booted, and it says why.
    static let skipped: Int32 = 77

    /// In seconds; more than the bounds of `boot` together, which are what should be met first.
    private static let bound = 900

    private static let images = ["ping", "ping-2", "counter", "counter-2", "faulty-abi"]

    private static let repository = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// Gives `line` each line as it comes.
    ///
    /// - Returns: The exit status of `boot`; 124 or 137 if it took too long.
    static func run(line: (String) -> Void) throws -> Int32 {
        let products = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent().path
        let scripts = "\(repository)/Tests/systemd"
        var arguments = ["--kill-after=30", "\(bound)", "\(scripts)/boot", "--install", repository]
        for image in images {
            arguments += ["-i", "\(products)/lib\(image).so:/opt/baton-images/\(image).so"]
        }
        arguments += ["-i", "\(scripts)/inside:/opt/baton-test/inside", "--"]
        arguments.append("/opt/baton-test/inside")

        let boot = Process()
        boot.executableURL = URL(filePath: "/usr/bin/timeout")
        boot.arguments = arguments
        // `make install` takes what this build made.
        boot.environment = ProcessInfo.processInfo.environment.merging(["BUILD": products]) { $1 }
        boot.standardInput = FileHandle.nullDevice
        let output = Pipe()
        boot.standardOutput = output
        try boot.run()
        try readLines(of: output.fileHandleForReading, line)
        boot.waitUntilExit()
        return boot.terminationStatus
    }

    private static func readLines(of file: FileHandle, _ line: (String) -> Void) throws {
        var rest = Data()
        while let more = try file.read(upToCount: 4096), !more.isEmpty {
            rest += more
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                line(String(decoding: rest[..<end], as: UTF8.self))
                rest = rest[rest.index(after: end)...]
            }
        }
        if !rest.isEmpty { line(String(decoding: rest, as: UTF8.self)) }
    }
}
