// EventJSON: what subscribers get.

import BatonCore
import BatonWire
import Testing

@Suite("Events as JSON")
struct EventJSONTests {
    private let time = Timestamp(milliseconds: 1_709_164_800_007)

    private func text(_ event: Event) -> String {
        String(decoding: event.json(at: time), as: UTF8.self)
    }

    @Test("Every member is there, null where there is nothing to tell")
    func empty() {
        #expect(
            text(Event(.ready))
                == #"{"time":"2024-02-29T00:00:00.007Z","service":null,"event":"ready","# + nulls)
    }

    private var nulls: String {
        #""phase":null,"from":null,"to":null,"digest":null,"cause":null,"pid":null,"#
            + #""message":null,"duration_microseconds":null}"#
    }

    @Test("A full one")
    func full() throws {
        let digest = try #require(ImageDigest([UInt8](repeating: 0xab, count: 32)))
        let event = Event(
            .rolledBack, service: ServiceName("ping"), from: "2", to: "1", digest: digest,
            cause: "a \"crash\"", pid: 7, message: 9, duration: .milliseconds(2))
        let ab = String(repeating: "ab", count: 32)
        #expect(
            text(event)
                == #"{"time":"2024-02-29T00:00:00.007Z","service":"ping","event":"rolled_back","#
                + #""phase":null,"from":"2","to":"1","digest":"\#(ab)","#
                + #""cause":"a \"crash\"","pid":7,"message":9,"duration_microseconds":2000}"#)
    }
}
