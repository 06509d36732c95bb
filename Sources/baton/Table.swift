// Table: aligned columns on a terminal or in a file. Runs in baton.

/// How a text looks where there is colour.
enum Style: Equatable {
    case plain, heading, faint, good, busy, bad

    func apply(to text: String) -> String {
        let code =
            switch self {
            case .plain: ""
            case .heading: "1"
            case .faint: "2"
            case .good: "32"
            case .busy: "33"
            case .bad: "31"
            }
        return code.isEmpty ? text : "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }
}

/// Rows of cells; each column is as wide as its widest cell, with two spaces between.
struct Table {
    struct Column {
        var title: String
        var isNumber = false
    }

    struct Cell: ExpressibleByStringInterpolation {
        var text: String
        var style = Style.plain

        init(_ text: String, _ style: Style = .plain) {
            self.text = text
            self.style = style
        }

        init(stringLiteral text: String) {
            self.text = text
        }
    }

    let columns: [Column]
    var rows: [[Cell]] = []

    init(_ columns: [Column]) {
        self.columns = columns
    }

    /// The table with its head, without spaces at the ends of lines.
    func lines(colour: Bool) -> [String] {
        let table = [columns.map { Cell($0.title, .heading) }] + rows
        let widths = columns.indices.map { column in
            table.map { $0[column].text.count }.max() ?? 0
        }
        return table.map { row in
            var line = ""
            // Blanks are put off until something follows them.
            var blanks = 0
            for (column, cell) in row.enumerated() {
                let padding = widths[column] - cell.text.count
                if columns[column].isNumber { blanks += padding }
                if !cell.text.isEmpty {
                    line += String(repeating: " ", count: blanks)
                    line += colour ? cell.style.apply(to: cell.text) : cell.text
                    blanks = 0
                }
                blanks += 2 + (columns[column].isNumber ? 0 : padding)
            }
            return line
        }
    }
}
