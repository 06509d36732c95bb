// Reading what the script says, tried without a systemd.

import Testing

@Suite("A report in the Test Anything Protocol")
struct TAPReportTests {
    private func report(_ lines: String...) -> TAPReport {
        var report = TAPReport()
        for line in lines { report.read(line) }
        return report
    }

    @Test("Steps that are ok and a plan of as many are complete")
    func complete() {
        let report = report("ok 1 - starts", "ok 2 - stops", "1..2")
        #expect(report.isComplete)
        #expect(report.failures.isEmpty)
    }

    @Test("A step that is not ok is a failure, with the evidence that follows it")
    func failure() {
        let report = report("not ok 1 - starts", "# why", "ok 2 - stops", "# aside", "1..2")
        #expect(report.isComplete)
        #expect(report.failures == ["not ok 1 - starts\n# why"])
    }

    @Test("An end without the plan is not complete, and bailing out is a failure")
    func cutShort() {
        let report = report("ok 1 - starts", "Bail out! batond does not start")
        #expect(!report.isComplete)
        #expect(report.failures == ["Bail out! batond does not start"])
    }

    @Test("A script that cannot try anything says why")
    func skip() {
        #expect(report("SKIP: needs root").skipReason == "needs root")
    }
}
