// A command that a test runs to its end, as an operator would: baton, socat, redis-cli.

import BatonLinux
import Foundation

struct Tool {
    struct Output {
        var exit: Spawn.Exit
        var output: String
        var error: String

        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    /// Runs `program`, found in PATH unless it is a path, with `input` on its standard input.
    static func run(
        _ program: String, _ arguments: String..., input: String = "",
        environment: [String: String] = [:], within bound: Duration = .seconds(60)
    ) throws -> Output {
        try run(program, arguments, input: input, environment: environment, within: bound)
    }

    static func run(
        _ program: String, _ arguments: [String], input: String = "",
        environment: [String: String] = [:], within bound: Duration = .seconds(60)
    ) throws -> Output {
        guard let path = find(program) else { throw Failure("there is no \(program)") }
        let directory = try ScratchDirectory()
        let inputFile = try directory.write(Data(input.utf8), "input")
        let outputFile = "\(directory.path)/output"
        let errorFile = "\(directory.path)/error"
        let child = try ChildProcess(
            path, arguments, environment: surroundings.merging(environment) { $1 },
            input: inputFile, output: outputFile, error: errorFile)
        let exit = try child.end(within: bound)
        return Output(exit: exit, output: text(outputFile), error: text(errorFile))
    }

    /// `baton` with these arguments, for the daemon at `runtime`.
    static func baton(
        _ arguments: String..., runtime: String, input: String = ""
    ) throws -> Output {
        try run(
            Products.program("baton"), arguments, input: input,
            environment: ["BATON_RUNTIME": runtime])
    }

    static func find(_ program: String) -> String? {
        if program.contains("/") { return program }
        let places = ["/usr/bin", "/bin", "/usr/local/bin"]
        return places.map { "\($0)/\(program)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// What every program of a test sees of the environment.
    static let surroundings: [String: String] = {
        let kept = ["PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS"]
        return ProcessInfo.processInfo.environment.filter { kept.contains($0.key) }
            .merging(["LC_ALL": "C.UTF-8", "HOME": "/nonexistent"]) { $1 }
    }()

    private static func text(_ file: String) -> String {
        String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }
}
