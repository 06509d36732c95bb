// No module imports more than the picture in the design allows, so that what is pure stays pure and
// what a host links stays small.

import Testing

/// What each module may import. Glibc stands for the C library, and is named where it is used.
private let picture: [String: Set<String>] = [
    // Pure
    "BatonCore": [],
    "BatonWire": ["BatonCore"],
    // Effects
    "BatonLinux": ["BatonCore", "CLinux", "Glibc", "Synchronization"],
    "BatonSystemd": ["CSystemd", "Logging", "Glibc"],
    "BatonStore": ["BatonCore", "BatonLinux", "CLinux", "Glibc", "Synchronization"],
    // Processes
    "BatonSupervisor": [
        "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSystemd", "CLinux",
        "Logging", "Crypto",
        "Yams", "Foundation", "FoundationEssentials", "Glibc", "Synchronization",
    ],
    "BatonCheck": [
        "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSupervisor", "CLinux", "Glibc",
    ],
    "BatonHost": ["BatonCore", "BatonWire", "BatonLinux", "CBaton", "CLinux", "Glibc"],
    "BatonService": ["CBaton"],
    "BatonClient": ["BatonCore", "BatonWire", "BatonLinux", "FoundationEssentials", "Glibc"],
    // Trials
    "BatonSimulator": [
        "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSupervisor", "BatonHost",
        "CLinux",
        "Logging", "Glibc",
    ],
    "BatonFuzz": [
        "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSupervisor", "CLinux", "Glibc",
        "Synchronization",
    ],
    // Executables
    "baton-fuzz": ["BatonFuzz", "Glibc"],
    "baton-simulate": ["BatonSimulator", "BatonLinux", "CLinux", "ArgumentParser", "Glibc"],
    "batond": [
        "BatonCore", "BatonSupervisor", "BatonCheck", "BatonSystemd", "ArgumentParser", "Logging",
        "Glibc",
    ],
    "baton-host": ["BatonHost", "Glibc"],
    "baton": ["BatonClient", "ArgumentParser", "FoundationEssentials", "Glibc"],
]

/// The one place where a pure module calls the C library: `memchr` finds the end of a line.
private let exceptions = ["Sources/BatonWire/LineParser.swift": ["Glibc"]]

@Suite("The module picture")
struct ModulePictureTests {
    @Test("Every module of Swift is in the picture")
    func everyModuleIsInThePicture() {
        let modules = Set(
            Repository.swiftSources.filter { $0.path.hasPrefix("Sources/") }.map(\.module))
        #expect(modules == Set(picture.keys))
    }

    @Test("A file imports only what its module may", arguments: Repository.swiftSources)
    func importsAreAllowed(source: Source) {
        guard source.path.hasPrefix("Sources/") else { return }
        let allowed = (picture[source.module] ?? []).union(exceptions[source.path] ?? [])
        let surplus = source.imports.subtracting(allowed).sorted()
        #expect(
            surplus.isEmpty, "\(source.path) must not import \(surplus.joined(separator: ", "))")
    }

    @Test("A plugin imports the SDK and nothing else of Baton")
    func pluginsImportTheSDK() {
        for source in Repository.swiftSources where source.path.hasPrefix("plugins/") {
            let ofBaton = source.imports.filter { $0.hasPrefix("Baton") || $0.hasPrefix("C") }
            #expect(ofBaton.isSubset(of: ["BatonService"]), "\(source.path)")
        }
    }

    @Test("A host links neither Foundation nor the daemon's libraries")
    func theHostIsSmall() {
        var reached: Set<String> = []
        var next: Set<String> = ["baton-host"]
        while let module = next.popFirst() {
            guard reached.insert(module).inserted else { continue }
            next.formUnion(picture[module] ?? [])
        }
        let daemons: Set = [
            "Foundation", "FoundationEssentials", "BatonSystemd", "BatonStore", "BatonSupervisor",
            "BatonService", "Logging", "Crypto", "Yams", "ArgumentParser",
        ]
        #expect(reached.isDisjoint(with: daemons))
    }
}
