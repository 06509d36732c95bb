// FactList: what there is to tell about one thing, a fact a line. Runs in baton.

struct FactList {
    struct Fact {
        var name: String
        var value: String
        var style = Style.plain
    }

    var title: String
    var facts: [Fact] = []

    mutating func add(_ name: String, _ value: String, _ style: Style = .plain) {
        facts.append(Fact(name: name, value: value, style: style))
    }

    func lines(colour: Bool) -> [String] {
        let width = facts.map(\.name.count).max() ?? 0
        func styled(_ text: String, _ style: Style) -> String {
            colour ? style.apply(to: text) : text
        }
        return [styled(title, .heading)]
            + facts.map { fact in
                let blanks = String(repeating: " ", count: width - fact.name.count + 2)
                return "  " + styled(fact.name, .faint) + blanks + styled(fact.value, fact.style)
            }
    }
}
