// EVENTS.md is what operators write their filters by: it agrees with the source.

import Testing

@Suite("The table of events")
struct EventTableTests {
    /// The ids that `text` has, in order.
    private func ids(in text: String) -> [Substring] {
        text.matches(of: /\b[0-9a-f]{32}\b/).map(\.output)
    }

    @Test("EVENTS.md has each id of Event.swift once in its table, in the same order")
    func ids() throws {
        let source = try #require(
            Repository.sources.first { $0.path == "Sources/BatonCore/Event.swift" })
        let table = Repository.text(of: "EVENTS.md").split(separator: "\n")
            .filter { $0.hasPrefix("| `") }.joined(separator: "\n")
        #expect(!ids(in: table).isEmpty)
        #expect(ids(in: table) == ids(in: source.text))
    }

    @Test("Each row of it begins with the name of its event")
    func names() throws {
        let source = try #require(
            Repository.sources.first { $0.path == "Sources/BatonCore/Event.swift" })
        let spelled = source.text.matches(of: /case (\w+) = "(\w+)"/)
        let names = Dictionary(
            uniqueKeysWithValues: spelled.map { (String($0.1), String($0.2)) })
        let document = Repository.text(of: "EVENTS.md")
        for match in source.text.matches(of: /case \.(\w+): "([0-9a-f]{32})"/) {
            let name = names[String(match.1)] ?? String(match.1)
            let row = document.split(separator: "\n").first {
                $0.hasPrefix("| `") && $0.contains(match.2)
            }
            #expect(row?.hasPrefix("| `\(name)` |") == true, "\(name)")
        }
    }
}
