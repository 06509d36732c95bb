// JournalLog: what the journal is given.

import BatonSystemd
import Logging
import Testing

@Suite("Journal log")
struct JournalLogTests {
    @Test("Metadata become fields of Baton's own, and a message's id the journal's MESSAGE_ID")
    func fields() {
        let entries = JournalLog.entries(
            .warning, "host ended",
            [
                "service": "ping", "duration_microseconds": "5",
                JournalLog.messageIDKey: "79803a3155ac3f276667d65d5fff5697",
            ])
        #expect(
            entries == [
                "MESSAGE=host ended", "PRIORITY=4", "SYSLOG_IDENTIFIER=batond",
                "BATON_DURATION_MICROSECONDS=5", "MESSAGE_ID=79803a3155ac3f276667d65d5fff5697",
                "BATON_SERVICE=ping",
            ])
    }

    @Test("A field's name has capitals, digits and underscores only")
    func names() {
        let entries = JournalLog.entries(.info, "", ["pausé-2": "x"])
        #expect(entries.last == "BATON_PAUS__2=x")
    }
}
