// What the operator has set: directories, limits, what holds for all services and for single ones,
// groups. Runs in batond.

import BatonCore
import Glibc
import Logging

/// When a reply may leave.
package enum Durability: String, Sendable, CaseIterable {
    /// After message and outcome are synced.
    case commit
    /// At once; synced each second.
    case interval
    /// At once; synced when the kernel likes.
    case none
}

package struct Configuration: Sendable {
    package typealias LogLevel = Logger.Level

    package struct Directories: Equatable, Sendable {
        package var plugins: String
        package var state: String
        package var runtime: String
        package init(plugins: String, state: String, runtime: String) {
            self.plugins = plugins
            self.state = state
            self.runtime = runtime
        }
    }

    package var directories: Directories
    package var durability = Durability.commit
    package var probation = Moment.Span.seconds(10)
    package var limits = Limits()
    /// For the services that have settings of their own.
    package var services: [ServiceName: ServiceSettings.Overrides] = [:]
    package var groups: [Group] = []
    /// The file that it was read from, and the lines of its keys, where they matter later.
    package var file = "the configuration"
    package var lines: [String: Int] = [:]
    /// The places of the configuration file that name a service which must be there.
    package var mentions: [Mention] = []
    package var logLevel = LogLevel.info
    /// The program that runs a plugin.
    package var hostProgram: String

    package init(directories: Directories, hostProgram: String) {
        self.directories = directories
        self.hostProgram = hostProgram
    }

    /// The same with absolute directories: what a client is told must not depend on where batond was
    /// started.
    package func absolute() -> Configuration {
        var absolute = self
        absolute.directories.plugins = Self.absolute(directories.plugins)
        absolute.directories.state = Self.absolute(directories.state)
        absolute.directories.runtime = Self.absolute(directories.runtime)
        return absolute
    }

    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = unsafe getcwd(nil, 0) else { return path }
        defer { unsafe free(current) }
        return unsafe "\(String(cString: current))/\(path)"
    }

    package func settings(of service: ServiceName) -> ServiceSettings {
        let own = services[service] ?? ServiceSettings.Overrides()
        return ServiceSettings(
            durability: own.durability ?? durability, restart: own.restart ?? .permanent,
            probation: own.probation ?? probation, rehearse: own.rehearse ?? 0,
            rehearseAllow: own.rehearseAllow ?? 0, restarts: own.restarts ?? limits.restarts,
            restartPeriod: own.restartPeriod ?? limits.restartPeriod, access: own.access)
    }

    package func group(of service: ServiceName) -> Group? {
        groups.first { $0.services.contains(service) }
    }

    /// A service that is named at a place of the configuration file.
    package struct Mention: Equatable, Sendable {
        package var service: ServiceName
        /// `/etc/baton/batond.yaml:12`.
        package var place: String
    }

    /// Where `key` stands: `/etc/baton/batond.yaml:12`.
    package func place(of key: String) -> String {
        lines[key].map { "\(file):\($0)" } ?? file
    }

    /// Refuses what names a service that is not among `known`.
    package func check(against known: Set<ServiceName>) throws(ConfigurationRefusal) {
        guard let unknown = mentions.first(where: { !known.contains($0.service) }) else { return }
        throw ConfigurationRefusal(
            description: "\(unknown.place): there is no service '\(unknown.service)': put "
                + "\(unknown.service).so into \(directories.plugins), or take it out of the group")
    }
}
