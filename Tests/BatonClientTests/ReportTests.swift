// Report: the JSON of STATUS and of verdicts as values.

import BatonClient
import Testing

@Suite("Reports")
struct ReportTests {
    private static let verdict = """
        {"service":"ping","verdict":"upgraded","from":"1","to":"2","digest":"ab",\
        "pause_microseconds":512,"total_microseconds":15000,"switch_sequence":5,\
        "phase":null,"reason":null}
        """
    private static let service = """
        {"name":"ping","state":"running","reason":null,"version":"2","digest":"ab","pid":123,\
        "old_version":"1","old_digest":"cd","old_pid":124,"phase":null,"durability":"commit",\
        "appended":10,"settled":9,"waiting":1,"dead_letters":0,"restarts":0,"upgrades":1,\
        "connections":1,"mailbox_bytes":262144,"disk_version_differs":false,\
        "last_upgrade":\(verdict),\
        "images":[{"role":"current","version":"2","digest":"ab"}],"new_member":1}
        """

    private func decode<Value: Decodable>(_ type: Value.Type, _ json: String) throws(ClientError)
        -> Value
    {
        try Report<Value>(json: Array(json.utf8)).decoded()
    }

    @Test("a verdict is read")
    func verdict() throws {
        let verdict = try decode(ServiceVerdict.self, Self.verdict)
        #expect(verdict.verdict == .upgraded)
        #expect(verdict.pauseMicroseconds == 512)
        #expect(verdict.switchSequence == 5)
        #expect(verdict.phase == nil)
        #expect(verdict.exitStatus == .done)
    }

    @Test("only a verdict of refused or rolled back is a failure")
    func exitStatus() throws {
        for (kind, status) in [
            ("upgraded", CommandExit.done), ("current", .done), ("started", .done),
            ("refused", .refused), ("rolled_back", .refused), ("removed", .done),
            ("would_upgrade", .done),
        ] {
            let json = "{\"service\":\"x\",\"verdict\":\"\(kind)\",\"total_microseconds\":1}"
            #expect(try decode(ServiceVerdict.self, json).exitStatus == status)
        }
    }

    @Test("a status is read; members that are not known are passed over")
    func status() throws {
        let json = """
            {"version":"0.1.0","pid":1,"uptime_seconds":12,"state":"running",\
            "services":[\(Self.service)]}
            """
        let status = try decode(DaemonStatus.self, json)
        #expect(status.uptimeSeconds == 12)
        let service = try #require(status.services.first)
        #expect(service.state == .running)
        #expect(service.oldPid == 124)
        #expect(service.deadLetters == 0)
        #expect(service.mailboxBytes == 262_144)
        #expect(service.lastUpgrade?.to == "2")
        #expect(
            String(decoding: service.images.json, as: UTF8.self)
                == #"[{"role":"current","version":"2","digest":"ab","at":null,"cause":null}]"#)
    }

    @Test("a state that this client does not know is kept by its name")
    func unknownState() throws {
        let json = Self.service.replacing("\"running\"", with: "\"hibernating\"")
        #expect(try decode(ServiceStatus.self, json).state.rawValue == "hibernating")
    }

    @Test("what is missing is named")
    func missing() {
        #expect(throws: ClientError.malformedReply("ServiceVerdict: no member 'service'")) {
            _ = try decode(ServiceVerdict.self, "{}")
        }
        #expect(throws: ClientError.self) { _ = try decode(ServiceVerdict.self, "not JSON") }
    }
}
