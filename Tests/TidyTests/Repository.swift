// The repository's sources as text, for the tidy tests.

import Foundation
import Testing

/// Where things are, found from this file's own place.
enum Repository {
    static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static let manifest = text(of: "Package.swift")

    /// Every source file, Swift and C. Symbolic links are not followed: what they lead to is in the
    /// list already.
    static let sources: [Source] = ["Sources", "Tests", "plugins"]
        .flatMap(files(below:))
        .filter { ["swift", "c", "h"].contains(($0 as NSString).pathExtension) }
        .map { Source(path: $0, text: text(of: $0)) }

    static var swiftSources: [Source] { sources.filter(\.isSwift) }

    /// The names in a folder, sorted, those that begin with a dot left out.
    static func entries(of folder: String) -> [String] {
        let names = try? FileManager.default.contentsOfDirectory(
            atPath: root.appending(path: folder).path)
        return (names ?? []).filter { !$0.hasPrefix(".") }.sorted()
    }

    static func isFolder(_ path: String) -> Bool {
        let full = root.appending(path: path).path
        return (try? FileManager.default.contentsOfDirectory(atPath: full)) != nil
    }

    /// What a symbolic link says, nil if `path` is none.
    static func linkTarget(of path: String) -> String? {
        try? FileManager.default.destinationOfSymbolicLink(
            atPath: root.appending(path: path).path)
    }

    private static func files(below folder: String) -> [String] {
        entries(of: folder).flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            if linkTarget(of: path) != nil { return [] }
            return isFolder(path) ? files(below: path) : [path]
        }
    }

    static func text(of path: String) -> String {
        (try? String(contentsOf: root.appending(path: path), encoding: .utf8)) ?? ""
    }
}

/// One source file. `path` is relative to the repository: `Sources/BatonCore/Limits.swift`.
struct Source: CustomTestStringConvertible {
    var path: String
    var text: String

    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    var isSwift: Bool { path.hasSuffix(".swift") }
    var testDescription: String { path }

    /// `BatonCore` for `Sources/BatonCore/Limits.swift`.
    var module: String { String(path.split(separator: "/").dropFirst().first ?? "") }

    /// `Limits` for `Sources/BatonCore/Limits.swift`.
    var name: String { ((path as NSString).lastPathComponent as NSString).deletingPathExtension }

    /// The lines without their `//` comments.
    var code: [Substring] {
        lines.map { line in line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line }
    }

    /// The modules that a Swift file imports, each once.
    var imports: Set<String> {
        let pattern =
            /^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/
        return Set(
            code.compactMap { line in (try? pattern.prefixMatch(in: line)).map { String($0.1) } })
    }
}
