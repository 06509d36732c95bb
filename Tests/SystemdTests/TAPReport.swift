// What a script says in the Test Anything Protocol (https://testanything.org): `ok 1 - text`,
// `not ok 2 - text` with `#` lines of evidence after it, `Bail out! text`, and the plan `1..2`.

struct TAPReport {
    /// How many steps were reported.
    private(set) var steps = 0
    /// How many there should be. Nil until it is said, which is at the end.
    private(set) var plan: Int?
    /// Steps that are not ok, each with its evidence.
    private(set) var failures: [String] = []
    /// Why nothing was tried.
    private(set) var skipReason: String?
    private var isEvidence = false

    /// Whether the script came to its end.
    var isComplete: Bool { plan == steps }

    mutating func read(_ line: String) {
        if line.hasPrefix("#") {
            if isEvidence { failures[failures.count - 1] += "\n\(line)" }
            return
        }
        isEvidence = false
        if line.hasPrefix("ok ") {
            steps += 1
        } else if line.hasPrefix("not ok ") {
            steps += 1
            failures.append(line)
            isEvidence = true
        } else if line.hasPrefix("Bail out!") {
            failures.append(line)
        } else if line.hasPrefix("1..") {
            plan = Int(line.dropFirst(3))
        } else if line.hasPrefix("SKIP: ") {
            skipReason = String(line.dropFirst(6))
        }
    }
}
