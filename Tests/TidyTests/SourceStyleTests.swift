// The house style, as far as a machine can see it without a parser. swift-format sees the rest.

import Testing

@Suite("The style of a source file")
struct SourceStyleTests {
    private static let forbiddenNames: Set = [
        "Utility", "Utilities", "Utils", "Helper", "Helpers", "Common", "Manager", "Extension",
        "Extensions", "Misc", "Placeholder",
    ]

    /// In pieces, so that this file passes too.
    private static let trapping = ["try" + "!", "as" + "!"]

    @Test("It has 500 lines at most", arguments: Repository.sources)
    func isShort(source: Source) {
        #expect(source.lines.count <= 501, "\(source.path) has \(source.lines.count) lines")
    }

    @Test("Its name is a noun of the domain", arguments: Repository.sources)
    func hasAName(source: Source) {
        let words = source.name.split(separator: "+").map(String.init)
        #expect(Self.forbiddenNames.isDisjoint(with: words), "\(source.path): say what it is about")
    }

    @Test("It opens with a comment that says its purpose", arguments: Repository.sources)
    func opensWithAComment(source: Source) {
        let opens = source.text.hasPrefix("//") || source.text.hasPrefix("/*")
        #expect(opens, "\(source.path) does not open with a comment")
    }

    @Test("It does not trap on what may fail", arguments: Repository.swiftSources)
    func doesNotTrap(source: Source) {
        for (number, line) in source.code.enumerated() {
            let words = line.split(whereSeparator: { " ([{,".contains($0) })
            let found = words.first { Self.trapping.contains(String($0)) }
            #expect(found == nil, "\(source.path):\(number + 1) traps: \(line)")
        }
    }
}
