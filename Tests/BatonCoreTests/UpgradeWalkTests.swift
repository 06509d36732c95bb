// The upgrade's invariants over every sequence of events up to a length.

import BatonCore
import Testing

/// The service as the actions leave it, seen from outside the machine.
private struct ServiceInUpgrade {
    enum InCharge {
        case current, nobody, candidate
    }

    var machine = UpgradeMachine()
    /// Who handles messages, of the versions of the upgrade that runs or has just ended.
    var inCharge = InCharge.current
    var candidateHasState = false
    var isWarm = false
    var isDryRun = false
    var imageIsDurable = false
    var switchIsWritten = false

    /// - Returns: what is wrong with it.
    mutating func happens(_ event: UpgradeEvent) -> String? {
        let wasPreparing = machine.phase == .prepare
        let wasSwitching = machine.state == .switching
        let action = event.happen(to: &machine)
        if wasPreparing {
            if event == .candidateStarted { candidateHasState = true }
            if event == .imageIsDurable { imageIsDurable = true }
        }
        if let plan = event.plan {
            self = ServiceInUpgrade(machine: machine)
            isWarm = plan.isWarm
            isDryRun = plan.isDryRun
        }
        if let fault = perform(action, wasSwitching && event == .switchIsDurable) { return fault }
        if machine.state == .idle, inCharge == .nobody { return "nobody is in charge" }
        return nil
    }

    private mutating func perform(_ action: UpgradeMachine.Action, _ switchIsDurable: Bool)
        -> String?
    {
        switch action {
        case .nothing: return nil
        case .rehearse: return nil
        case .prepare:
            candidateHasState = false
            imageIsDurable = false
            return nil
        case .suspend:
            inCharge = .nobody
            if isDryRun { return "a dry run suspended" }
            return isWarm || candidateHasState && imageIsDurable
                ? nil : "suspended before prepare was done"
        case .load, .replay, .tryMessage:
            return inCharge == .nobody ? nil : "loaded while current handles messages"
        case .blameMessage:
            inCharge = .current
            return nil
        case .endDryRun:
            return inCharge == .current && isDryRun ? nil : "a dry run that changed something"
        case .writeSwitch:
            switchIsWritten = true
            return inCharge == .nobody ? nil : "switched while current handles messages"
        case .handOver:
            inCharge = .candidate
            return switchIsDurable && switchIsWritten ? nil : "handed over without a switch"
        case .refuse(_, _, let resume):
            let wasSuspended = inCharge == .nobody
            inCharge = .current
            return resume == wasSuspended ? nil : "resumed what was not suspended, or the opposite"
        }
    }
}

@Suite("Every way an upgrade can go")
struct UpgradeWalkTests {
    /// Walks every sequence of events of up to `length` from `service` on.
    private func walk(
        _ service: ServiceInUpgrade, _ length: Int, _ path: inout [UpgradeEvent],
        _ ended: inout (walks: Int, refused: Int, handedOver: Int), _ faults: inout [String]
    ) {
        for event in UpgradeEvent.allCases where event.mayHappen(in: service.machine.state) {
            var next = service
            path.append(event)
            defer { path.removeLast() }
            if let fault = next.happens(event) {
                faults.append("\(path.map(\.rawValue)): \(fault)")
                continue
            }
            ended.walks += 1
            if service.machine.state != .idle, next.machine.state == .idle {
                if next.inCharge == .candidate { ended.handedOver += 1 } else { ended.refused += 1 }
            }
            // Where nothing changed, what follows has been walked already.
            guard next.machine.state != service.machine.state else { continue }
            if length > 1 { walk(next, length - 1, &path, &ended, &faults) }
        }
    }

    @Test(
        "Every path that ends before the switch is durable ends with the current version in charge")
    func everyPath() {
        var ended = (walks: 0, refused: 0, handedOver: 0)
        var faults: [String] = []
        var path: [UpgradeEvent] = []
        walk(ServiceInUpgrade(), 9, &path, &ended, &faults)
        #expect(faults.isEmpty, "\(faults.prefix(5))")
        #expect(ended.refused > 0 && ended.handedOver > 0)
        print(
            "upgrade: \(ended.walks) walks of up to 9 events, \(ended.refused) refusals, "
                + "\(ended.handedOver) switches")
    }
}
