// What a repair will do, told before it is done: what is kept, what is lost, what is handled again.
// Pure.

import BatonCore
import BatonStore
import BatonWire

extension Repair {
    package var planLines: [String] {
        [
            "\(service): damaged at \(place): \(reason)", "  kept: \(keptText)",
            "  lost: \(lostText)",
        ]
            + [againText.map { "  again: \($0)" }, fallbackText.map { "  note: \($0)" }]
            .compactMap(\.self)
            + ["  the damaged files will stay in \(keptPath)"]
    }

    private var keptText: String {
        let standing = salvage.standing
        var parts = [
            salvage.waitingCount == 1
                ? "1 message that waits" : "\(salvage.waitingCount) messages that wait"
        ]
        if let state = standing.state {
            parts.append(
                "the state as of message \(standing.settled) (\(state.bytes.count) bytes, of version "
                    + "\(state.version))")
        }
        if let release = standing.release {
            parts.append("release \(release.version) (\(release.digest.short))")
        } else {
            parts.append("no release: it takes the plugin directory's file")
        }
        if !standing.deadLetters.isEmpty {
            parts.append("dead letters: \(standing.deadLetters.count)")
        }
        return parts.joined(separator: ", ")
    }

    /// Nothing is left that could tell what there was.
    private var isAllLost: Bool { salvage.isEndMissing && salvage.appended == .none }

    private var lostText: String {
        let ranges = salvage.lost.map(Self.text(of:)).joined(separator: ", ")
        let end =
            salvage.isEndMissing
            ? isAllLost
                ? "all there was; what that was cannot be known"
                : "what was accepted after message \(salvage.appended), which cannot be known" : nil
        let isOne = salvage.lost.count == 1 && salvage.lost[0].count == 1
        let messages =
            salvage.lost.isEmpty ? nil : "\(isOne ? "message" : "messages") \(ranges)"
        let parts = [stateText, messages, end].compactMap(\.self)
        return parts.isEmpty ? "no message" : parts.joined(separator: ", and ")
    }

    private var stateText: String? {
        guard salvage.isStateLost else { return nil }
        let settled = salvage.standing.settled.value
        return "the state: the service begins without one"
            + (settled == 0 ? "" : ", and what messages 1 to \(settled) had led to is gone")
    }

    private var againText: String? {
        salvage.again.map {
            ($0.count == 1
                ? "message \(Self.text(of: $0)) was" : "messages \(Self.text(of: $0)) were")
                + " handled, but the state after that is not known: what is there of it is handled "
                + "again"
        }
    }

    private var fallbackText: String? {
        salvage.droppedFallback.map {
            "there is no way back to version \($0.version) any more: the release is confirmed"
        }
    }

    private static func text(of range: ClosedRange<UInt64>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
    }

    /// - Parameters:
    ///   - after: the mailbox once it is repaired; `nil` if it was not.
    package func json(after: MailboxCondition?) -> String {
        var json = JSONText()
        json.object { json in
            json.member("service", service.text)
            json.member("found", "damaged")
            json.member("place", place)
            json.member("reason", reason)
            json.member("waiting", salvage.waitingCount)
            json.member("appended", salvage.appended.value)
            json.member("settled", salvage.standing.settled.value)
            json.member("version", salvage.standing.release?.version)
            json.array("lost") { json in
                for range in salvage.lost { Self.write(range, to: &json) }
            }
            json.member("end_missing", salvage.isEndMissing)
            json.member("state_lost", salvage.isStateLost || isAllLost)
            json.array("again") { json in
                if let again = salvage.again { Self.write(again, to: &json) }
            }
            json.member("fallback_lost", salvage.droppedFallback?.version)
            json.member("kept", keptPath)
            json.member("repaired", after != nil)
            if let after { json.member("mailbox", after.word.rawValue) }
        }
        return json.text
    }

    private static func write(_ range: ClosedRange<UInt64>, to json: inout JSONText) {
        json.array { json in
            json.value(range.lowerBound)
            json.value(range.upperBound)
        }
    }
}

extension MailboxCondition {
    /// What `repair` says of a mailbox that needs none.
    package var lineOfNoRepair: String {
        "\(service): \(word.rawValue): there is nothing to repair"
    }
    package var jsonOfNoRepair: String {
        var json = JSONText()
        json.object { json in
            json.member("service", service.text)
            json.member("found", word.rawValue)
            json.member("repaired", false)
        }
        return json.text
    }
    package var isWell: Bool { fault == nil }
    package var line: String { line(inUse: false) }
}
