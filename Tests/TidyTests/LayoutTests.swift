// Folders and Package.swift agree: nothing lies about that no target builds.

import Testing

@Suite("The repository's layout")
struct LayoutTests {
    /// The names that Package.swift gives to targets of `kind`: `.target(name: "BatonCore"`.
    private func declared(_ kind: String) -> Set<String> {
        let pattern = /name: "([^"]+)"/
        let parts = Repository.manifest.split(separator: kind).dropFirst()
        return Set(
            parts.compactMap { part in
                (try? pattern.firstMatch(in: part)).map { String($0.1) }
            })
    }

    @Test("Every folder of Sources is a target")
    func sourcesAreTargets() {
        let targets = declared(".target(")
            .union(declared(".executableTarget("))
            .union(declared(".systemLibrary("))
        for folder in Repository.entries(of: "Sources") {
            #expect(targets.contains(folder), "Sources/\(folder) belongs to no target")
        }
    }

    @Test("Every folder of Tests with Swift in it is a test target, and the other way round")
    func testsAreTargets() {
        let folders = Repository.swiftSources.filter { $0.path.hasPrefix("Tests/") }.map(\.module)
        #expect(Set(folders) == declared(".testTarget("))
    }

    @Test("Every folder of plugins is a plugin, and the other way round")
    func pluginsAreTargets() {
        #expect(Set(Repository.entries(of: "plugins")) == declared(" Plugin("))
    }

    @Test("A plugin's folder that is a link leads to the folder of another plugin")
    func linksResolve() {
        for name in Repository.entries(of: "plugins") {
            let path = "plugins/\(name)"
            #expect(Repository.isFolder(path), "\(path) is no folder")
            guard let target = Repository.linkTarget(of: path) else { continue }
            #expect(
                Repository.entries(of: "plugins").contains(target)
                    && Repository.linkTarget(of: "plugins/\(target)") == nil,
                "\(path) leads to \(target)")
        }
    }
}
