// The configuration file: YAML, every key known, every mistake named with its line and what to do
// about it. Runs in batond, at its start and at each reload.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Logging
import Yams

/// Why a configuration file is not taken; said to the operator.
package struct ConfigurationRefusal: Error, Equatable, CustomStringConvertible {
    package var description: String
}

package enum ConfigurationFile {
    /// Reads `path` over the defaults.
    package static func read(
        _ path: String, mayBeMissing: Bool, into defaults: Configuration
    ) throws(ConfigurationRefusal) -> Configuration {
        guard let text = try text(of: path, mayBeMissing: mayBeMissing) else { return defaults }
        return try parse(text, path: path, into: defaults)
    }

    private static func text(of path: String, mayBeMissing: Bool)
        throws(ConfigurationRefusal) -> String?
    {
        let file: OpenFile
        let status: stat
        do throws(SystemError) {
            file = OpenFile(try .open(path, flags: O_RDONLY))
            status = try file.descriptor.status()
        } catch {
            if error.code == ENOENT, mayBeMissing { return nil }
            throw ConfigurationRefusal(
                description: "\(path) cannot be read: \(SystemError.text(of: error.code))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ConfigurationRefusal(description: "\(path) is not a regular file")
        }
        guard status.st_mode & S_IWOTH == 0 else {
            throw ConfigurationRefusal(
                description: "\(path) may be written by everybody: chmod o-w \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: FixedLimits.configurationBytes + 1)
        let (number, capacity) = (file.number, bytes.count)
        let count = retryInterrupted { unsafe pread(number, &bytes, capacity, 0) }
        guard count >= 0 else {
            throw ConfigurationRefusal(description: "\(SystemError.last("read \(path)"))")
        }
        guard count < capacity else {
            throw ConfigurationRefusal(description: "\(path) is larger than 1 MiB")
        }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    package static func parse(
        _ text: String, path: String, into defaults: Configuration
    ) throws(ConfigurationRefusal) -> Configuration {
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            throw ConfigurationRefusal(description: refusal(of: error, path))
        }
        guard let node, node.null == nil else { return defaults }
        var configuration = defaults
        configuration.file = path
        let file = ConfigurationReader(path: path)
        for (key, value) in try file.members(node) {
            configuration.lines[key.name] = key.node.mark?.line
            switch key.name {
            case "plugins": configuration.directories.plugins = try file.path(value)
            case "state": configuration.directories.state = try file.path(value)
            case "runtime": configuration.directories.runtime = try file.path(value)
            case "log_level":
                configuration.logLevel = try file.choice(
                    value, Configuration.LogLevel.init(rawValue:),
                    "debug, info, notice, warning, error or critical")
            case "durability": configuration.durability = try file.durability(value)
            case "probation": configuration.probation = try file.spanOrZero(value)
            case "limits": try file.limits(value, into: &configuration)
            case "services":
                for (name, members) in try file.members(value) {
                    let service = try file.serviceName(name.node)
                    configuration.services[service] = try file.service(members)
                }
            case "groups": break  // Below: they take what `limits` says, which may come later.
            default:
                throw file.unknown(
                    key,
                    "plugins, state, runtime, log_level, durability, probation, limits, services, "
                        + "groups")
            }
        }
        if let groups = node.mapping?["groups"] { try file.groups(groups, into: &configuration) }
        return configuration
    }

    private static func refusal(of error: any Error, _ path: String) -> String {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "\(path):\(mark.line): this is no YAML: \(problem)"
        case .reader(let problem, _, _, _): "\(path) is no YAML: \(problem)"
        case .duplicatedKeysInMapping(let duplicates, let context):
            "\(path):\(context.mark.line): the key '\(duplicates.first ?? "")' stands here twice: "
                + "keep one"
        default: "\(path) is no YAML: \(error)"
        }
    }
}
