// What of the state directory is durable, and what is left of it when the power is cut.
// Runs in the simulator.
//
// The files are real, on a file system in memory. Known is what was in each of them when it was last
// synced, and which names a directory had when that was. Of what was written since, each sector
// reaches the disk or does not; of a directory's changes since, all or none.

import BatonLinux
import BatonStore
import Glibc

final class SimulatedDisk {
    private let root: String
    private let dice: Dice
    /// Whether power cuts are to come: only then it is worth the trouble.
    var isWatched = false
    /// A sync has failed in this life of batond.
    var hasFailed = false
    private var contents: [UInt64: [UInt8]] = [:]
    private var names: [UInt64: [FileTree.Entry]] = [:]

    private static let sectorBytes = 512

    init(root: String, dice: Dice) {
        self.root = root
        self.dice = dice
    }

    /// Everything there is is durable: recovery has seen to that.
    func begin() {
        contents = [:]
        names = [:]
        if isWatched { noteAll(root) }
    }

    private func noteAll(_ path: String) {
        guard let directory = try? Descriptor.open(path, flags: O_RDONLY | O_DIRECTORY) else {
            return
        }
        synced(directory.number, path: path)
        for entry in FileTree.entries(path) {
            if entry.isDirectory {
                noteAll("\(path)/\(entry.name)")
            } else {
                contents[entry.inode] = FileTree.read("\(path)/\(entry.name)")
            }
        }
    }

    // MARK: Jobs

    func perform(_ job: DiskJob) -> DiskJob.Result {
        let result = DiskJob.perform(job)
        guard isWatched else { return result }
        switch job {
        case .sync(let targets): for target in targets { synced(target.file.number) }
        // The file itself is zeros, or was synced before.
        case .makeSpare(_, let directory, _): synced(directory.number)
        case .letGo(_, let directory, _, let spareByteCount):
            if spareByteCount != nil { synced(directory.number) }
        case .keepImage(_, let directory, let name, _, _):
            synced(directory.number)
            if let file = try? Descriptor.open(name, in: directory.number, flags: O_RDONLY) {
                synced(file.number)
            }
        }
        return result
    }

    private func synced(_ descriptor: Int32, path: String? = nil) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            guard let path = path ?? Self.path(of: descriptor) else { return }
            names[UInt64(status.st_ino)] = FileTree.entries(path)
        } else {
            contents[UInt64(status.st_ino)] = FileTree.read(descriptor)
        }
    }

    private static func path(of descriptor: Int32) -> String? {
        var target = [CChar](repeating: 0, count: 512)
        let count = unsafe readlink("/proc/self/fd/\(descriptor)", &target, target.count)
        guard count > 0 else { return nil }
        return String(decoding: target.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    // MARK: What is left

    /// Puts what batond would find into `target`, as its process has died.
    func copyForKill(to target: String) { FileTree.copy(root, to: target) }

    /// The same, by a mutant that loses what was written last.
    func copyWithLoss(to target: String) {
        FileTree.copy(root, to: target) { path, _ in
            var bytes = FileTree.read(path)
            if path.hasSuffix(".segment"), let end = bytes.lastIndex(where: { $0 != 0 }), end > 8192
            {
                for index in (end - 200)...end { bytes[index] = 0 }
            }
            return bytes
        }
    }

    /// Puts what batond would find into `target`, as the power has gone.
    func copyForPowerCut(to target: String) { cut(root, to: target) }

    private func cut(_ path: String, to target: String) {
        FileTree.make(target)
        var status = stat()
        _ = unsafe lstat(path, &status)
        let present = FileTree.entries(path)
        let durable = names[UInt64(status.st_ino)] ?? present
        for entry in dice.chance(1, in: 2) ? durable : present {
            let from = present.first { $0.inode == entry.inode }.map { "\(path)/\($0.name)" }
            let to = "\(target)/\(entry.name)"
            if entry.isDirectory {
                if let from { cut(from, to: to) }
            } else {
                FileTree.write(content(entry.inode, now: from.map(FileTree.read)), to: to)
            }
        }
    }

    /// - Parameter now: what is in the file; `nil` if it has no name any more.
    private func content(_ inode: UInt64, now: [UInt8]?) -> [UInt8] {
        guard let now else { return contents[inode] ?? [] }
        var left = contents[inode] ?? []
        if left.count < now.count { left += [UInt8](repeating: 0, count: now.count - left.count) }
        let reaching = dice.number(0...3)  // of 3: nothing, some, most, all
        for start in stride(from: 0, to: now.count, by: Self.sectorBytes) {
            let sector = start..<min(start + Self.sectorBytes, now.count)
            guard now[sector] != left[sector], dice.chance(reaching, in: 3) else { continue }
            left.replaceSubrange(sector, with: now[sector])
        }
        return left
    }
}
