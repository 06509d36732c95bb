// How a simulation ends: calm, in which everything must come to rest, and what must hold then.
// Runs in the simulator.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import Glibc

extension Simulation {
    /// Nothing goes wrong any more but what is in messages, and a sound version is brought.
    func bringCalm() {
        guard !hasFailed else { return }
        note("calm")
        faults.calm()
        life?.ground.callsLeft = nil
        for host in hosts { host.calm() }
        for client in clients { client.calm() }
        for (index, each) in operators.enumerated() { each.calm(mends: index == 0) }
    }

    /// Why not everybody has come to rest.
    var restlessness: String {
        var text = "no rest in calm:"
        for client in clients {
            if let oldest = client.oldest { text += " \(oldest) waits for \(client.longestWait)" }
        }
        if let oldest = repeating?.oldest { text += " \(oldest.id) waits for \(oldest.waits)" }
        for each in operators where !each.isDone { text += " a verdict, \(each.longestWait)" }
        return text
    }

    func judge() {
        guard !hasFailed else { return }
        askWhoServes()
        for each in operators { each.calm(mends: false) }
        for client in clients { client.retire() }
        // Old hosts have the time to go.
        run(for: .seconds(15))
        checkHosts()
        end()
        letGo()
        checkStates()
    }

    /// One more message to each service is answered by the version that was brought. If a message
    /// that kills has led back to the version before, it is brought again.
    private func askWhoServes() {
        var wrong = ""
        for _ in 0..<4 {
            for busy in scenario.busy {
                clients.append(SimulatedClient(self, services: [busy], calls: 1))
            }
            run(whileProgressing: .seconds(200)) { self.isAtRest }
            guard !hasFailed else { return }
            guard isAtRest else { return fail(restlessness) }
            let astray = scenario.busy.filter {
                ledger.versions[$0.name] != $0.versions.last?.label
            }
            guard let first = astray.first else { return }
            wrong = "\(first.name) is \(ledger.versions[first.name] ?? "nothing") to the end"
            operators.first?.calm(mends: true)
        }
        fail(wrong)
    }

    /// Those that batond knows, and no others.
    private func checkHosts() {
        guard !hasFailed, let life else { return }
        let known = Set(life.supervisor.processes)
        for host in hosts where host.isAlive && !known.contains(host.pid) {
            fail("host \(host.pid) of \(host.service) \(host.version.name) is left over")
        }
        for pid in known where host(pid) == nil { fail("host \(pid) is none") }
    }

    private func end() {
        guard !hasFailed else { return }
        if dice.chance(1, in: 2) {
            note("SIGTERM")
            isEnding = true
            life?.ground.signal(SIGTERM)
            run(for: .seconds(20)) { self.life == nil }
            if self.life != nil { fail("batond does not end") }
        } else {
            supervisorIsKilled()
        }
    }

    /// What is on disk agrees with what everybody was told.
    private func checkStates() {
        guard !hasFailed else { return }
        for service in scenario.busy.map(\.name) + [Scenario.neighbour] {
            guard let name = ServiceName(service) else { continue }
            var report = Recovery.Report()
            do throws(StoreError) {
                let mailbox = try Recovery.open(
                    service: name, path: "\(places.state)/mailboxes/\(service)",
                    byteLimit: 1 << 30, report: &report)
                check(service, mailbox)
            } catch { fail("the mailbox of \(service): \(error)") }
        }
    }

    private func check(_ service: String, _ mailbox: borrowing Mailbox) {
        let standing = mailbox.standing
        let mayLose = ledger.mayLose(service)
        if mailbox.unsettledCount > 0, !mayLose {
            fail("\(mailbox.unsettledCount) messages to \(service) are not settled")
        }
        var state = ModelState()
        if let bytes = standing.state?.bytes {
            var format: UInt32 = 0
            guard let read = ModelState(bytes, format: &format) else {
                return fail("the state of \(service) cannot be read")
            }
            state = read
        }
        for problem in ledger.problems(of: service, state) { fail("\(service): \(problem)") }
    }
}
