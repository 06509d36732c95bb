// The frames between batond and a host: what one side says is what the other hears, and nothing that
// is not exactly one frame is heard as one.

import BatonCore
import BatonWire
import Testing

@Suite("Host frames")
struct HostFrameTests {
    private static let commands: [HostCommand] = [
        .start(
            stateBytes: nil, fromVersion: "", stateLimit: 1 << 20, stateVersion: 0,
            downgrade: false),
        .start(
            stateBytes: 0, fromVersion: "1", stateLimit: .max, stateVersion: 7, downgrade: true),
        .start(
            stateBytes: .max, fromVersion: "2.1 “quoted”", stateLimit: 0, stateVersion: .max,
            downgrade: false),
        .segment(ordinal: 3, byteCount: 1 << 24, previousEnd: 4711),
        .run(
            position: LogPosition(segment: 2, offset: 8192), sequence: 99, carefulThrough: 100,
            dead: [101, .max]),
        .run(
            position: LogPosition(word: .max), sequence: .max, carefulThrough: .max, dead: []),
        .proceed(carefulThrough: .max - 5),
        .suspend(generation: .max),
        .stop,
        .replay(
            position: LogPosition(segment: 1, offset: 4096), sequence: 5, through: 9, generation: 2,
            dead: []),
        .replay(
            position: LogPosition(word: .max), sequence: .max, through: .max, generation: .max,
            dead: Array(1...400) + Array(402...100_000) + [.max]),
    ]

    private static let reports: [HostReport] = [
        .loaded(
            name: "counter", version: "3", abi: 1, sandbox: 3, hasState: true, stateVersion: 3,
            takesFrom: 1, takesTo: 3),
        .loaded(
            name: "", version: "", abi: .max, sandbox: 0, hasState: false, stateVersion: 0,
            takesFrom: .max, takesTo: 0),
        .started,
        .refused(reason: "cannot take this state"),
        .suspended(generation: 8),
        .log(level: 2, text: "a line"),
        .large(byteCount: .max),
    ]

    @Test("A command is heard as it was said", arguments: commands)
    func command(command: HostCommand) {
        #expect(HostCommand(command.encoded()) == command)
    }

    @Test("A report is heard as it was said", arguments: reports)
    func report(report: HostReport) {
        #expect(HostReport(report.encoded()) == report)
    }

    @Test("A command cut short, or with more behind it, is none", arguments: commands)
    func cutCommand(command: HostCommand) {
        let bytes = command.encoded()
        for count in bytes.indices { #expect(HostCommand(bytes.prefix(count)) == nil) }
        #expect(HostCommand(bytes + [0]) == nil)
    }

    @Test("A report cut short, or with more behind it, is none", arguments: reports)
    func cutReport(report: HostReport) {
        let bytes = report.encoded()
        for count in bytes.indices { #expect(HostReport(bytes.prefix(count)) == nil) }
        #expect(HostReport(bytes + [0]) == nil)
    }

    @Test("Every command fits a frame", arguments: commands)
    func fits(command: HostCommand) {
        #expect(command.encoded().count <= FixedLimits.frameBytes)
    }

    @Test("A list that says it is longer than a frame is refused before it is read")
    func absurdList() {
        var bytes = HostCommand.run(
            position: LogPosition(word: 1), sequence: 1, carefulThrough: 0, dead: []
        ).encoded()
        bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: [255, 255, 255, 255])
        #expect(HostCommand(bytes) == nil)
    }
}
