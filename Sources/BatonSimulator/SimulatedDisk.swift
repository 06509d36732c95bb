// What of the state directory is durable, and what is left of it when the power is cut.
// Runs in the simulator.
//
// The files are real, on a file system in memory. Known is what was in each of them when it was last
// synced, by whomever, and which names a directory had when that was; that a process was killed does
// not make what it wrote durable. Of what was written since, each sector reaches the disk or does not;
// of a directory's changes since, all or none.

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

    private var isLosing = false

    private static let sectorBytes = 512

    init(root: String, dice: Dice) {
        self.root = root
        self.dice = dice
    }

    /// From here on every sync in the process is seen.
    func begin() {
        guard isWatched else { return }
        let watch = Watch(disk: self)
        OpenFile.tellSyncs { watch.disk.synced($0) }
    }

    func end() { OpenFile.tellSyncs(to: nil) }

    /// A simulation has one thread, and so have its syncs.
    private struct Watch: @unchecked Sendable { unowned let disk: SimulatedDisk }

    /// Performs a job, of which nothing is durable.
    func performUnsynced(_ job: DiskJob) {
        isLosing = true
        _ = DiskJob.perform(job)
        isLosing = false
    }

    private func synced(_ descriptor: Int32) {
        guard !isLosing else { return }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            guard let path = Self.path(of: descriptor) else { return }
            names[UInt64(status.st_ino)] = FileTree.entries(path)
        } else {
            // By name, since it may be open for writing only.
            contents[UInt64(status.st_ino)] = FileTree.read("/proc/self/fd/\(descriptor)")
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
    func copyForKill(to target: String) { copy(root, to: target) { FileTree.read($0) } }

    /// The same, by a mutant that loses what was written last.
    func copyWithLoss(to target: String) {
        copy(root, to: target) { path in
            var bytes = FileTree.read(path)
            if path.hasSuffix(".segment"), let end = bytes.lastIndex(where: { $0 != 0 }), end > 8192
            {
                for index in (end - 200)...end { bytes[index] = 0 }
            }
            return bytes
        }
    }

    /// The copies have other inodes, and are as durable as what they are copies of.
    private func copy(_ path: String, to target: String, _ content: (String) -> [UInt8]) {
        FileTree.make(target)
        var copies: [UInt64: UInt64] = [:]
        for entry in FileTree.entries(path) {
            let (from, to) = ("\(path)/\(entry.name)", "\(target)/\(entry.name)")
            if entry.isDirectory {
                copy(from, to: to, content)
            } else {
                FileTree.write(content(from), to: to)
            }
            let copied = FileTree.inode(to)
            copies[entry.inode] = copied
            contents[copied] = contents[entry.inode]
        }
        names[FileTree.inode(target)] = names[FileTree.inode(path)]?.map { entry in
            var copied = entry
            copied.inode = copies[entry.inode] ?? entry.inode
            return copied
        }
    }

    /// Puts what batond would find into `target`, as the power has gone.
    func copyForPowerCut(to target: String) { cut(root, to: target) }

    private func cut(_ path: String, to target: String) {
        FileTree.make(target)
        let present = FileTree.entries(path)
        let durable = names[FileTree.inode(path)] ?? []
        for entry in dice.chance(1, in: 2) ? durable : present {
            let from = present.first { $0.inode == entry.inode }.map { "\(path)/\($0.name)" }
            let to = "\(target)/\(entry.name)"
            if entry.isDirectory {
                if let from { cut(from, to: to) }
            } else {
                let left = content(entry.inode, now: from.map(FileTree.read))
                FileTree.write(left, to: to)
                contents[FileTree.inode(to)] = left
            }
        }
        names[FileTree.inode(target)] = FileTree.entries(target)
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
