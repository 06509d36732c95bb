// What the operator has set: directories, durability, limits. Runs in batond.

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
    /// For the services that have one of their own.
    package var serviceDurability: [ServiceName: Durability] = [:]
    package var limits = Limits()
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

    func durability(of service: ServiceName) -> Durability {
        serviceDurability[service] ?? durability
    }
}
