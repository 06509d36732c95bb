// baton-simulate: runs the real supervisor in simulated worlds, one seed after the other. For
// developers; it is not installed.
//
// The simulations run in processes of their own, so that a trap in one of them is a failure of its
// seed, and none of the others'.

import ArgumentParser
import BatonSimulator
import Glibc

@main struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "baton-simulate",
        abstract: "Runs batond's supervisor in simulated worlds.",
        discussion: """
            Each seed is one world: hosts that crash, hang and lie, versions with flaws, rude clients, \
            hasty operators, kill -9 of everything, power cuts; then calm, and a judgement. The same \
            seed is the same world.

            Exit codes: 0 every promise was kept (or every mutant caught); 1 one was not; 64 usage.
            """)

    @Option(help: "The first seed.")
    var seed: UInt64 = 1
    @Option(help: "How many seeds.")
    var seeds: UInt64 = 1
    @Option(help: "How many processes simulate at a time.")
    var jobs = 2
    @Flag(help: "Tell what happens.")
    var trace = false
    @Flag(help: "Run each seed twice, and compare.")
    var twice = false
    @Option(help: "With this fault in the simulated world: \(Mutant.names).")
    var mutant: Mutant?
    @Flag(help: "See that each fault in the simulated world is found.")
    var mutants = false
    @Option(help: .private)
    var step: UInt64?

    mutating func validate() throws {
        guard jobs > 0, jobs <= 64 else { throw ValidationError("--jobs takes 1 to 64") }
        guard !seed.addingReportingOverflow(seeds).overflow else {
            throw ValidationError("--seed and --seeds are too large")
        }
    }

    mutating func run() throws {
        let stretch = Stretch(
            seeds: seed..<seed + seeds, step: step ?? 1, tells: trace, twice: twice, mutant: mutant)
        if step != nil { return Worker(stretch).run() }
        if mutants {
            let caught = Mutant.allCases.filter { Trial(of: $0, seed: seed, jobs: jobs).isCaught() }
            print("\(caught.count) of \(Mutant.allCases.count) mutants caught")
            guard caught.count == Mutant.allCases.count else { throw ExitCode(1) }
            return
        }
        var report = Report()
        let pool = Pool(stretch, jobs: trace ? 1 : jobs)
        pool.run { finding in
            report.note(finding)
            return true
        }
        print(report.summary)
        guard report.failures == 0 else { throw ExitCode(1) }
    }
}

extension Mutant: ExpressibleByArgument {
    static let names = allCases.map(\.rawValue).joined(separator: ", ")
}

/// What was found of all seeds.
private struct Report {
    private(set) var failures = 0
    private var seeds = 0
    private var answers = 0
    private var lives = 0
    private var steps = 0

    mutating func note(_ finding: Finding) {
        switch finding {
        case .told(let line): print(line)
        case .kept(let answers, let lives, let steps):
            seeds += 1
            self.answers += answers
            self.lives += lives
            self.steps += steps
        case .broken(let seed, let reason):
            seeds += 1
            failures += 1
            print(
                """
                seed \(seed): \(reason)
                    again, with all that happens: make simulate SEED=\(seed) TRACE=1
                """)
        }
    }

    var summary: String {
        "\(seeds) seeds, \(failures) broke a promise: \(answers) answers, \(lives) lives of batond, "
            + "\(steps) steps"
    }
}

/// Whether a fault in the simulated world is found.
private struct Trial {
    private let mutant: Mutant
    private let stretch: Stretch
    private let jobs: Int

    /// A fault that is not seen in so many worlds is not seen.
    private static let most: UInt64 = 400

    init(of mutant: Mutant, seed: UInt64, jobs: Int) {
        self.mutant = mutant
        self.jobs = jobs
        stretch = Stretch(
            seeds: seed..<seed + Self.most, step: 1, tells: false, twice: false, mutant: mutant)
    }

    func isCaught() -> Bool {
        var found: (seed: UInt64, reason: String)?
        Pool(stretch, jobs: jobs).run { finding in
            if case .broken(let seed, let reason) = finding { found = found ?? (seed, reason) }
            return found == nil
        }
        guard let found else {
            print("\(mutant.rawValue): not caught in \(Self.most) worlds")
            return false
        }
        print("\(mutant.rawValue): caught at seed \(found.seed): \(found.reason)")
        return true
    }
}
