// `batond repair`: what `baton repair` runs. It is batond's program, since it takes the same lock and
// writes the same log.

import ArgumentParser
import BatonCheck
import BatonSupervisor
import Glibc

struct RepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Mend a damaged mailbox, while batond is stopped: 'baton help repair' tells more."
    )

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var files: FileOptions
    @Flag(help: "Do it without asking.")
    var yes = false
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let name = try CheckCommand.name(of: service)
        let state = files.directories.state
        do {
            try StateOwner.assume(of: state)
            switch try Repair.plan(name, state: state) {
            case .nothingToDo(let mailbox):
                print(json ? mailbox.jsonOfNoRepair : mailbox.lineOfNoRepair)
            case .planned(let repair): try carryOut(repair)
            }
        } catch let refusal as CheckRefusal {
            throw refusal.complain()
        }
    }

    private func carryOut(_ repair: Repair) throws {
        var repair = repair
        if !json { for line in repair.planLines { print(line) } }
        fflush(nil)
        guard try yes || consent() else {
            if json { print(repair.json(after: nil)) }
            StandardError.line("baton: nothing was changed")
            throw ExitCode(1)
        }
        let mailbox = try repair.perform()
        if json {
            print(repair.json(after: mailbox))
        } else {
            print("repaired: \(mailbox.line)")
        }
        if !mailbox.isWell { throw ExitCode(1) }
    }

    /// Asks at a terminal; elsewhere there is nobody who could say yes.
    private func consent() throws -> Bool {
        guard isatty(STDIN_FILENO) == 1 else {
            StandardError.line("baton: standard input is no terminal: 'baton repair --yes' does it")
            return false
        }
        StandardError.put("Repair it so? [y/N] ")
        let answer = (readLine() ?? "").lowercased()
        return answer == "y" || answer == "yes"
    }
}
