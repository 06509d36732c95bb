// What `batond check` prints: a line for each mailbox and each finding, and a last one for all; or the
// same as JSON.

import BatonCore
import BatonWire

extension Inspection {
    package var lines: [String] {
        mailboxes.map { $0.line(inUse: holder != nil) } + findings.map(\.line) + [summary]
    }

    private var summary: String {
        var parts = [mailboxes.count == 1 ? "1 mailbox" : "\(mailboxes.count) mailboxes"]
        for kind in [Finding.Kind.damaged, .refused, .noted] {
            let count = findings.count { $0.kind == kind }
            if count > 0 { parts.append("\(count) \(kind.rawValue)") }
        }
        if isWell { parts.append("all is well") }
        if let holder { parts.append("in use by batond, pid \(holder)") }
        return "\(state): " + parts.joined(separator: ", ")
    }

    package var json: String {
        var json = JSONText()
        json.object { json in
            json.member("state", state)
            json.member("in_use_by", holder)
            json.member("well", isWell)
            json.array("mailboxes") { json in
                for mailbox in mailboxes { mailbox.write(to: &json) }
            }
            json.array("findings") { json in
                for finding in findings {
                    json.object { json in
                        json.member("kind", finding.kind.rawValue)
                        json.member("service", finding.service?.text)
                        json.member("place", finding.place)
                        json.member("what", finding.what)
                        json.member("next", finding.next)
                    }
                }
            }
        }
        return json.text
    }
}
