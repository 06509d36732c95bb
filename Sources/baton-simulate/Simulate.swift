// baton-simulate: runs the simulator, one seed after the other. For developers; it is not installed.

import ArgumentParser
import BatonSimulator
import Glibc

@main struct Simulate: ParsableCommand {
    @Option var seed: UInt64 = 1
    @Option var seeds: Int = 1
    @Flag var trace = false

    mutating func run() throws {
        let places = Places(name: "\(getpid())")
        var failed = 0
        for seed in seed..<seed + UInt64(seeds) {
            let tell: ((String) -> Void)? =
                trace
                ? { line in
                    print(line); fflush(nil)
                } : nil
            let outcome = Simulation(seed: seed, in: places, tell: tell).run()
            if let failure = outcome.failure {
                failed += 1
                print("seed \(seed): \(failure)")
            }
            if seeds == 1 { print(outcome) }
        }
        print("\(failed) of \(seeds) failed")
        if failed > 0 { throw ExitCode(1) }
    }
}
