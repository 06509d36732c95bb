// The process that simulates: one seed after the other, each told of on a pipe before and after.
// Part of baton-simulate.

import BatonSimulator
import Glibc

/// What is to be simulated.
struct Stretch {
    var seeds: Range<UInt64>
    /// Every how manieth of them.
    var step: UInt64
    var tells: Bool
    var twice: Bool
    var mutant: Mutant?

    /// The arguments of a worker that does it.
    var arguments: [String] {
        var arguments = [
            "--seed", "\(seeds.lowerBound)", "--seeds", "\(seeds.count)", "--step", "\(step)",
        ]
        if tells { arguments.append("--trace") }
        if twice { arguments.append("--twice") }
        if let mutant { arguments += ["--mutant", mutant.rawValue] }
        return arguments
    }
}

struct Worker {
    /// Where the pool reads.
    static let output: Int32 = 3

    private let stretch: Stretch
    private let places = Places(name: "\(getpid())")

    init(_ stretch: Stretch) { self.stretch = stretch }

    func run() {
        var descriptors: Int?
        for seed in stride(
            from: stretch.seeds.lowerBound, to: stretch.seeds.upperBound, by: Int(stretch.step))
        {
            say("begin \(seed)")
            var outcome = simulate(seed)
            if stretch.twice, outcome.failure == nil {
                let again = simulate(seed)
                if again != outcome { outcome.failure = "the same seed is another world: \(again)" }
            }
            // What the first one leaves is the process's own: tables that are made once.
            let left = Places.openDescriptors
            if let descriptors, left > descriptors, outcome.failure == nil {
                outcome.failure =
                    "\(left - descriptors) descriptors are left over: \(Places.lastDescriptor)"
            }
            descriptors = left
            if let failure = outcome.failure {
                say("broken \(seed) \(failure)")
            } else {
                say("kept \(seed) \(outcome.answers) \(outcome.lives) \(outcome.steps)")
            }
        }
    }

    private func simulate(_ seed: UInt64) -> Outcome {
        let tell: ((String) -> Void)? = stretch.tells ? { self.say("told \($0)") } : nil
        return Simulation(seed: seed, in: places, mutant: stretch.mutant, tell: tell).run()
    }

    private func say(_ text: String) {
        var line = Array(text.utf8.map { $0 == 10 ? 32 : $0 }) + [10]
        while !line.isEmpty {
            let went = unsafe write(Self.output, line, line.count)
            // Nobody wants to know any more.
            guard went > 0 else { exit(0) }
            line.removeFirst(went)
        }
    }
}
