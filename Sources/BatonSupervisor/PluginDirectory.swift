// The plugin directory: which of its files are services. Runs in batond.

import BatonCore
import BatonLinux
import CLinux
import Glibc
import Logging

package enum PluginDirectory {
    package struct Listing {
        /// By service, in the order of their names.
        package var files: [(service: ServiceName, path: String)] = []
        /// Files that look like services and are none, and why.
        package var leftOut: [String] = []
    }

    package static func list(_ directory: String) throws(ImageRefusal) -> Listing {
        let names: [String]
        let status: stat
        do throws(SystemError) {
            names = try DirectoryListing.names(directory).sorted()
            status = try Descriptor.open(directory, flags: O_RDONLY | O_DIRECTORY).status()
        } catch {
            throw ImageRefusal(reason: "the plugin directory cannot be read: \(error)")
        }
        guard status.st_uid == 0 || status.st_uid == geteuid(), status.st_mode & S_IWOTH == 0 else {
            throw ImageRefusal(
                reason: "the plugin directory \(directory) is foreign, or may be written by "
                    + "everybody: chown root \(directory); chmod o-w \(directory)")
        }
        var listing = Listing()
        var found: [ServiceName: String] = [:]
        for name in names where !name.hasPrefix(".") && name.hasSuffix(".so") {
            let path = "\(directory)/\(name)"
            guard let service = ServiceName(imageFile: name) else {
                listing.leftOut.append("\(path): a service's name is [a-z][a-z0-9-]{0,62}")
                continue
            }
            if let other = found[service] {
                listing.leftOut.append("\(path): \(other) is \(service) already")
                continue
            }
            found[service] = path
        }
        listing.files = found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        return listing
    }
}

extension Supervisor {
    /// The plugin directory's files that are services, by name.
    func pluginFiles() throws(ImageRefusal) -> [(service: ServiceName, path: String)] {
        let listing = try PluginDirectory.list(configuration.directories.plugins)
        for file in listing.leftOut { logger.warning("left out: \(file)") }
        return listing.files
    }

    func pluginPath(of service: ServiceName) throws(ImageRefusal) -> String? {
        try PluginDirectory.list(configuration.directories.plugins)
            .files.first { $0.service == service }?.path
    }
}

extension Configuration {
    /// The services that there are or have been: those of the plugin directory, and those with a
    /// mailbox.
    package func knownServices() -> Set<ServiceName> {
        var names: Set<ServiceName> = []
        // What cannot be read is reported where it is needed.
        if let listing = try? PluginDirectory.list(directories.plugins) {
            names.formUnion(listing.files.map(\.service))
        }
        let mailboxes = (try? DirectoryListing.names("\(directories.state)/mailboxes")) ?? []
        names.formUnion(mailboxes.compactMap { ServiceName($0) })
        return names
    }
}
