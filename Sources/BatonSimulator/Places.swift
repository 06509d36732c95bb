// The directories of a simulation, in memory if there is room for them. Runs in the simulator.

import BatonCore
import BatonLinux
import Glibc

package final class Places {
    let root: String
    var state: String { "\(root)/state" }
    /// What the next life of batond finds.
    var kept: String { "\(root)/kept" }
    var runtime: String { "\(root)/run" }
    var plugins: String { "\(root)/plugins" }
    private var images: String { "\(root)/images" }

    /// - Parameter name: tells apart those who simulate at the same time.
    package init(name: String) {
        let parent = unsafe access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
        root = "\(parent)/baton-simulate-\(name)"
    }

    func begin() {
        remove()
        for path in [root, plugins, images] { FileTree.make(path) }
    }

    package func remove() { FileTree.remove(root) }

    /// What the newest of this process's descriptors is.
    package static var lastDescriptor: String {
        let numbers = (try? DirectoryListing.names("/proc/self/fd"))?.compactMap { Int($0) }
        // The last one is the listing's own.
        guard let last = numbers?.sorted().dropLast().last else { return "" }
        var target = [CChar](repeating: 0, count: 256)
        let count = unsafe readlink("/proc/self/fd/\(last)", &target, target.count)
        let bytes = target.prefix(max(0, count)).map(UInt8.init(bitPattern:))
        return "\(last) is \(String(decoding: bytes, as: UTF8.self))"
    }

    /// Of this process.
    package static var openDescriptors: Int {
        (try? DirectoryListing.names("/proc/self/fd").count) ?? 0
    }

    var hasKept: Bool { unsafe access(kept, F_OK) == 0 }

    /// batond's next life begins with what was kept of the last.
    func restore() {
        FileTree.remove(state)
        guard unsafe rename(kept, state) == 0 else {
            preconditionFailure("the simulator cannot rename \(kept)")
        }
    }

    /// A file with the version's image.
    func image(_ service: String, _ version: ModelVersion) -> String {
        let path = "\(images)/\(service)-\(version.name).so"
        if unsafe access(path, F_OK) != 0 { FileTree.write(version.image, to: path) }
        return path
    }

    /// The service has no file any more.
    func uninstall(_ service: String) { _ = unsafe unlink("\(plugins)/\(service).so") }

    /// Puts the version's image into the plugin directory, in one step.
    func install(_ version: ModelVersion, _ service: String) {
        FileTree.write(version.image, to: "\(plugins)/.new")
        _ = unsafe rename("\(plugins)/.new", "\(plugins)/\(service).so")
    }
}
