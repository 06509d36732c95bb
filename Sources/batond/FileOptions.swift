// The options that say where files are, and the configuration that they lead to. Runs in batond, its
// `check` and its `repair`.

import ArgumentParser
import BatonSupervisor

struct FileOptions: ParsableArguments {
    @Option(help: "The configuration file; it may be missing unless named here.")
    var config: String?
    @Option(help: "The plugin directory.")
    var plugins: String?
    @Option(help: "Where mailboxes and images are kept.")
    var state: String?

    func validate() throws {
        for (name, path) in [("config", config), ("plugins", plugins), ("state", state)] {
            try Self.expect(path, of: name)
        }
    }

    /// An empty path would be the directory that batond happens to be started in.
    static func expect(_ path: String?, of name: String) throws {
        guard path?.isEmpty != true else {
            throw ValidationError("--\(name) is empty: give a path, or leave it out")
        }
    }

    /// What the file says, and over it these options.
    func readConfiguration() throws(ConfigurationRefusal) -> Configuration {
        let defaults = defaults
        return over(
            try ConfigurationFile.read(
                defaults.file, mayBeMissing: config == nil, into: defaults))
    }

    /// What holds where the file cannot be read.
    var withoutFile: Configuration { over(defaults) }

    private var defaults: Configuration {
        let places = Places()
        var defaults = Configuration(
            directories: Configuration.Directories(
                plugins: places.plugins, state: places.state, runtime: places.runtime),
            hostProgram: places.hostProgram)
        defaults.file = config ?? places.configurationFile
        return defaults
    }

    private func over(_ configuration: Configuration) -> Configuration {
        var configuration = configuration
        if let plugins { configuration.directories.plugins = plugins }
        if let state { configuration.directories.state = state }
        return configuration
    }
}
