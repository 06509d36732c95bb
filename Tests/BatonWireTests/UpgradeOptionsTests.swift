// UpgradeOptions and DeadLetterChoice: read, written, refused.

import BatonWire
import Testing

@Suite("Options of UPGRADE and RELOAD")
struct UpgradeOptionsTests {
    private func read(_ text: String) -> UpgradeOptions? {
        UpgradeOptions(upgrade: text.split(separator: " ").map(String.init))
    }

    @Test("What is written is read again")
    func roundTrip() throws {
        for line in [
            "", "IMAGE /a.so", "FORCE", "REHEARSE 100", "REHEARSE 0", "REHEARSE 100 ALLOW 2",
            "DRYRUN", "WAIT", "IMAGE /a.so FORCE REHEARSE 7 ALLOW 0 DRYRUN WAIT",
        ] {
            let options = try #require(read(line), "\(line)")
            #expect(options.words.joined(separator: " ") == line)
        }
    }

    @Test("They come in any order, and in lower case")
    func order() throws {
        let options = try #require(read("wait rehearse 5 force allow 1 image FORCE"))
        #expect(options.image == "FORCE")
        #expect(options.force && options.waits && !options.isDryRun)
        #expect(options.rehearse == 5 && options.allow == 1)
    }

    @Test(
        "What is no option, lacks its value, or stands twice is refused",
        arguments: [
            "IMAGE", "IMAGE /a IMAGE /b", "REHEARSE", "REHEARSE many", "REHEARSE -1", "ALLOW 1",
            "REHEARSE 5 ALLOW", "FORCED", "DEAD", "TIMEOUT 5", "REHEARSE 1 REHEARSE 2",
            "REHEARSE 99999999999999999999",
        ])
    func refused(line: String) {
        #expect(read(line) == nil)
    }

    @Test("RELOAD takes DRYRUN and WAIT only")
    func reload() {
        #expect(UpgradeOptions(reload: [])?.words == [])
        #expect(UpgradeOptions(reload: ["wait", "DRYRUN"])?.words == ["DRYRUN", "WAIT"])
        for words in [["FORCE"], ["IMAGE", "/a"], ["REHEARSE", "5"], ["NOW"]] {
            #expect(UpgradeOptions(reload: words) == nil)
        }
    }

    @Test("A dead letter is chosen by its number, or all are")
    func deadLetters() {
        #expect(DeadLetterChoice("all") == .all)
        #expect(DeadLetterChoice("17") == .one(17))
        #expect(DeadLetterChoice.one(17).word == "17")
        #expect(DeadLetterChoice.all.word == "ALL")
        for word in ["", "0", "-1", "+1", "01", "1.0", "none", "99999999999999999999"] {
            #expect(DeadLetterChoice(word) == nil, "\(word)")
        }
    }
}
