// What a disk may hold after a power cut: of each file what was synced, and of what was written since
// any sectors; of the directory what was synced, and of the changes since the first few.

/// A disk that is fed with events, and asked what could be on it.
struct PowerCut {
    private struct Content {
        var durable: [UInt8] = []
        /// By sector, what was written to it since the last sync, in order.
        var pending: [Int: [(offset: Int, bytes: ArraySlice<UInt8>)]] = [:]
    }

    static let sectorBytes = 512

    private var contents: [TracedDisk.File: Content] = [:]
    private var names: [String: TracedDisk.File] = [:]
    private var pendingNames: [TracedDisk.Event] = []

    /// How much of what is not synced reaches the disk.
    enum Reaching: CaseIterable {
        case nothing, everything, something, filesButNotNames, namesButNotFiles
    }

    init(_ disk: TracedDisk, _ files: [String: [UInt8]]) {
        names = disk.namesAtFirst
        for (name, file) in names { contents[file] = Content(durable: files[name] ?? []) }
    }

    mutating func happens(_ event: TracedDisk.Event) {
        switch event {
        case .write(let file, let offset, let bytes): write(file, offset, bytes)
        case .sync(let file): flush(file) { _, pieces in pieces.count }
        case .failedSync(let file): contents[file]?.pending = [:]
        case .syncDirectory:
            for event in pendingNames { Self.apply(event, to: &names) }
            pendingNames = []
        case .make, .rename, .remove: pendingNames.append(event)
        }
    }

    /// What is on the disk if the power is cut now.
    func image(_ reaching: Reaching, _ generator: inout SeededGenerator) -> [String: [UInt8]] {
        var cut = self
        for file in contents.keys.sorted() {
            // A fixed order, so that a seed means something.
            let counts = contents[file]?.pending.sorted { $0.key < $1.key }.map { sector, pieces in
                let count =
                    switch reaching {
                    case .nothing, .namesButNotFiles: 0
                    case .everything, .filesButNotNames: pieces.count
                    case .something: Int.random(in: 0...pieces.count, using: &generator)
                    }
                return (sector, count)
            }
            let reached = Dictionary(uniqueKeysWithValues: counts ?? [])
            cut.flush(file) { sector, _ in reached[sector] ?? 0 }
        }
        let changes =
            switch reaching {
            case .nothing, .filesButNotNames: 0
            case .everything, .namesButNotFiles: pendingNames.count
            case .something: Int.random(in: 0...pendingNames.count, using: &generator)
            }
        for event in pendingNames.prefix(changes) { Self.apply(event, to: &cut.names) }
        return cut.names.mapValues { cut.contents[$0]?.durable ?? [] }
    }

    /// The name of a file if the power is cut now, and all changes of names reach the disk, or none.
    func name(of file: TracedDisk.File, _ reaching: Reaching) -> String? {
        var names = names
        if reaching == .everything {
            for event in pendingNames { Self.apply(event, to: &names) }
        }
        return names.first { $0.value == file }?.key
    }

    private mutating func write(_ file: TracedDisk.File, _ offset: Int, _ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let sector = (offset + done) / Self.sectorBytes
            let count = min(bytes.count - done, (sector + 1) * Self.sectorBytes - offset - done)
            contents[file, default: Content()].pending[sector, default: []].append(
                (offset + done, bytes[done..<done + count]))
            done += count
        }
    }

    private mutating func flush(
        _ file: TracedDisk.File, _ count: (Int, [(offset: Int, bytes: ArraySlice<UInt8>)]) -> Int
    ) {
        guard var content = contents[file] else { return }
        for (sector, pieces) in content.pending {
            for piece in pieces.prefix(count(sector, pieces)) {
                let end = piece.offset + piece.bytes.count
                if content.durable.count < end {
                    content.durable += [UInt8](repeating: 0, count: end - content.durable.count)
                }
                content.durable.replaceSubrange(piece.offset..<end, with: piece.bytes)
            }
        }
        content.pending = [:]
        contents[file] = content
    }

    private static func apply(
        _ event: TracedDisk.Event, to names: inout [String: TracedDisk.File]
    ) {
        switch event {
        case .make(let file, let name): names[name] = file
        case .rename(let file, let from, let to):
            names[from] = nil
            names[to] = file
        case .remove(let name): names[name] = nil
        case .write, .sync, .failedSync, .syncDirectory: break
        }
    }
}

/// A small deterministic generator (SplitMix64), so that a failure can be repeated by its seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
