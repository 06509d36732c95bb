// `batond check`: what `baton check` runs. It is batond's program, so that its own rules are what is
// checked, and only one program reads configurations.

import ArgumentParser
import BatonCheck
import BatonCore
import BatonSupervisor
import Glibc

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look at all that is kept, and change nothing: 'baton help check' tells more.")

    @Argument(help: "Only these services' mailboxes and images.")
    var services: [String] = []
    @OptionGroup var files: FileOptions
    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let inspection: Inspection
        do {
            // The state directory may be named in the file; its owner's eyes are what counts.
            try StateOwner.assume(of: files.directories.state)
            let names = try services.map(Self.name(of:))
            inspection = try Inspection(
                names, files.directories, refusal: files.configurationRefusal)
        } catch let refusal as CheckRefusal {
            throw refusal.complain()
        }
        if json {
            print(inspection.json)
        } else {
            for line in inspection.lines { print(line) }
        }
        if !inspection.isWell { throw ExitCode(1) }
    }

    static func name(of text: String) throws -> ServiceName {
        guard let name = ServiceName(text) else {
            throw ValidationError("'\(text)' is no service's name: [a-z][a-z0-9-]{0,62}")
        }
        return name
    }
}

extension FileOptions {
    /// By the file if it can be taken, else by the command line and the defaults.
    var directories: Configuration.Directories {
        do throws(ConfigurationRefusal) {
            return try readConfiguration().absolute().directories
        } catch { return withoutFile.absolute().directories }
    }

    /// What is wrong with the configuration, as batond would say at its start.
    var configurationRefusal: ConfigurationRefusal? {
        do throws(ConfigurationRefusal) {
            let configuration = try readConfiguration().absolute()
            try configuration.check(against: configuration.knownServices())
            return nil
        } catch { return error }
    }
}

extension CheckRefusal {
    /// Says it on standard error.
    func complain() -> ExitCode {
        StandardError.line("baton: \(self)")
        return ExitCode(exitCode)
    }
}
