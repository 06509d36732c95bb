// EventJSON: an event as subscribers get it, and `baton events --json` prints it. Runs in batond.

import BatonCore

extension Event {
    /// One JSON object with all members, those that it has not as null.
    package func json(at time: Timestamp) -> [UInt8] {
        var json = JSONText()
        json.object { json in
            json.member("time", "\(time)")
            json.member("service", service?.text)
            json.member("event", kind.rawValue)
            json.member("phase", phase)
            json.member("from", from)
            json.member("to", to)
            json.member("digest", digest.map { "\($0)" })
            json.member("cause", cause)
            json.member("pid", pid)
            json.member("message", message)
            json.member("duration_microseconds", duration?.microseconds)
        }
        return json.bytes
    }
}
