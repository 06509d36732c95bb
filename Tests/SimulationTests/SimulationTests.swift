// The simulator as part of the tests: a bounded number of worlds. `make simulate SEEDS=10000` runs more.

import Foundation
import Testing

@Suite("The simulator", .serialized)
struct SimulationTests {
    /// Runs baton-simulate; what it has printed, and its exit code.
    private func simulate(_ arguments: String...) throws -> (text: String, code: Int32) {
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let directory = URL(filePath: program).deletingLastPathComponent()
        let process = Process()
        let output = Pipe()
        process.executableURL = directory.appending(path: "baton-simulate")
        process.arguments = arguments
        process.standardOutput = output
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (String(decoding: bytes, as: UTF8.self), process.terminationStatus)
    }

    @Test("In every world the promises are kept")
    func promisesAreKept() throws {
        let result = try simulate("--seed", "1", "--seeds", "\(Thoroughness.seeds)")
        print(result.text)
        #expect(result.code == 0, "\(result.text)")
    }

    /// 6397: an operator's RESUME of a stopped service while its upgrade is being switched.
    @Test("So they are in worlds in which one was broken once", arguments: [6397])
    func worldsOfBefore(seed: Int) throws {
        let result = try simulate("--seed", "\(seed)", "--seeds", "1")
        #expect(result.code == 0, "\(result.text)")
    }

    @Test("The same seed is the same world")
    func seedsAreWorlds() throws {
        let result = try simulate("--seed", "1", "--seeds", "60", "--twice")
        #expect(result.code == 0, "\(result.text)")
    }

    @Test("A fault in the simulated world itself is found, each of them")
    func mutantsAreCaught() throws {
        let result = try simulate("--mutants")
        print(result.text)
        #expect(result.code == 0, "\(result.text)")
    }
}

/// A debug build takes some four times as long.
private enum Thoroughness {
    static let seeds: Int = {
        var isDebug = false
        assert(
            {
                isDebug = true
                return true
            }())
        return isDebug ? 300 : 2000
    }()
}
