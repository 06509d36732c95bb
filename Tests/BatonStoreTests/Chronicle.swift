// What was known of a mailbox after each write, and what of it somebody was told: by how many events had
// happened on its disk by then.

import BatonCore

struct Chronicle {
    /// What was known after each write, and how many events had happened by then.
    private(set) var written: [(known: Life.Known, events: Int)]
    /// Of `written`, what was acknowledged, and how many events had happened by then.
    private(set) var acknowledged: [(index: Int, events: Int)] = [(0, 0)]

    init() {
        written = [(Life.Known(appended: .none, standing: MailboxMachine()), 0)]
    }

    /// The last that was written.
    var newest: Int { written.count - 1 }

    mutating func note(_ known: Life.Known, events: Int) {
        let index = written.lastIndex { $0.events <= events } ?? 0
        written.insert((known, events), at: index + 1)
    }

    mutating func acknowledge(_ index: Int, events: Int) { acknowledged.append((index, events)) }

    /// What a new life may find after a kill: all that was acknowledged, and more if it was written.
    func mayFind(_ known: Life.Known) -> Bool {
        written[(acknowledged.last?.index ?? 0)...].contains { $0.known == known }
    }

    /// What may be there if the power is cut after so many events; what the last of them was writing
    /// may be there already.
    func possible(after events: Int) -> ArraySlice<(known: Life.Known, events: Int)> {
        let told = acknowledged.last { $0.events <= events }?.index ?? 0
        let count = written.prefix { $0.events < events }.count
        return written[told..<min(written.count, max(told, count) + 1)]
    }
}
