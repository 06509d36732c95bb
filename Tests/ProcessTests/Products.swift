// Where the programs and images lie that this package builds: beside the test's own program.

import Foundation

enum Products {
    static let directory: String = {
        let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return ((program ?? "") as NSString).deletingLastPathComponent
    }()

    static func program(_ name: String) -> String { "\(directory)/\(name)" }

    /// `image("ping-2")` is libping-2.so.
    static func image(_ plugin: String) -> String { "\(directory)/lib\(plugin).so" }

    static func bytes(_ plugin: String) throws -> Data {
        try Data(contentsOf: URL(filePath: image(plugin)))
    }

    /// `make sanitize` says so: programs are slower then, and need more memory.
    static let areSanitized = ProcessInfo.processInfo.environment["BATON_SANITIZER"] != nil

    /// The repository, for what `make test` has prepared below it.
    static let repository = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
}
