// swift-tools-version: 6.2
import PackageDescription

// Everything written in Swift here: Swift 6 mode, strict memory safety.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// A plugin: a target below `plugins/` and the dynamic library made of it alone.
/// Versions of one plugin are further targets whose folders are symbolic links to the first.
struct Plugin {
    var name: String
    var language: Language
    var defines: [String] = []
    enum Language { case swift, c }

    var product: Product { .library(name: name, type: .dynamic, targets: [name]) }

    var target: Target {
        switch language {
        case .swift:
            .target(
                name: name, dependencies: ["BatonService"], path: "plugins/\(name)",
                swiftSettings: strict + defines.map { .define($0) })
        case .c:
            .target(
                name: name, dependencies: ["CBaton"], path: "plugins/\(name)",
                publicHeadersPath: ".", cSettings: defines.map { .define($0) })
        }
    }
}

let plugins: [Plugin] = [
    Plugin(name: "ping", language: .swift),
    Plugin(name: "ping-2", language: .swift, defines: ["PING_2"]),
    Plugin(name: "counter", language: .swift),
    Plugin(name: "counter-2", language: .swift, defines: ["COUNTER_2"]),
    Plugin(name: "counter-3", language: .swift, defines: ["COUNTER_3"]),
    Plugin(name: "echo-c", language: .c),
    // For the tests only.
    Plugin(name: "stamp", language: .c),
    Plugin(name: "trial", language: .c),
    Plugin(name: "ledger", language: .c),
    Plugin(name: "faulty", language: .c),
    Plugin(name: "hostile", language: .c),
    Plugin(name: "faulty-constructor", language: .c, defines: ["FAULTY_CONSTRUCTOR"]),
    Plugin(name: "faulty-start", language: .c, defines: ["FAULTY_START"]),
    Plugin(name: "faulty-hang", language: .c, defines: ["FAULTY_HANG"]),
    Plugin(name: "faulty-migration", language: .c, defines: ["FAULTY_MIGRATION"]),
    Plugin(name: "faulty-load", language: .c, defines: ["FAULTY_LOAD"]),
    Plugin(name: "faulty-abi", language: .c, defines: ["FAULTY_ABI"]),
    Plugin(name: "faulty-symbol", language: .c, defines: ["FAULTY_SYMBOL"]),
]

let package = Package(
    name: "baton",
    products: [
        .executable(name: "batond", targets: ["batond"]),
        .executable(name: "baton", targets: ["baton"]),
        .executable(name: "baton-host", targets: ["baton-host"]),
        .library(name: "BatonService", targets: ["BatonService"]),
    ] + plugins.map(\.product),
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Headers
        .target(name: "CBaton"),
        .target(name: "CLinux"),
        .systemLibrary(
            name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        // Pure
        .target(name: "BatonCore", swiftSettings: strict),
        .target(name: "BatonWire", dependencies: ["BatonCore"], swiftSettings: strict),
        // Effects
        .target(name: "BatonLinux", dependencies: ["BatonCore", "CLinux"], swiftSettings: strict),
        .target(
            name: "BatonSystemd",
            dependencies: ["CSystemd", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .target(
            name: "BatonStore", dependencies: ["BatonCore", "BatonLinux", "CLinux"],
            exclude: ["FORMAT.md"],
            swiftSettings: strict),
        // Processes
        .target(
            name: "BatonSupervisor",
            dependencies: [
                "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSystemd", "CLinux",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict),
        .target(
            name: "BatonCheck",
            dependencies: [
                "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSupervisor", "CLinux",
            ],
            swiftSettings: strict),
        .target(
            name: "BatonHost",
            dependencies: ["BatonCore", "BatonWire", "BatonLinux", "CBaton", "CLinux"],
            swiftSettings: strict),
        .target(name: "BatonService", dependencies: ["CBaton"], swiftSettings: strict),
        .target(
            name: "BatonClient", dependencies: ["BatonCore", "BatonWire", "BatonLinux"],
            swiftSettings: strict),
        // Tests and trials
        .target(
            name: "BatonSimulator",
            dependencies: [
                "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSupervisor",
                "BatonHost", "CLinux", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "BatonFuzz",
            dependencies: [
                "BatonCore", "BatonStore", "BatonWire", "BatonLinux", "BatonSupervisor", "CLinux",
            ],
            swiftSettings: strict),
        // Executables
        .executableTarget(
            name: "batond",
            dependencies: [
                "BatonCore", "BatonSupervisor", "BatonCheck", "BatonSystemd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(name: "baton-host", dependencies: ["BatonHost"], swiftSettings: strict),
        .executableTarget(
            name: "baton",
            dependencies: [
                "BatonClient",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "baton-simulate",
            dependencies: [
                "BatonSimulator", "BatonLinux", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(name: "baton-fuzz", dependencies: ["BatonFuzz"], swiftSettings: strict),
        // Tests
        .testTarget(name: "BatonCoreTests", dependencies: ["BatonCore"], swiftSettings: strict),
        .testTarget(
            name: "BatonStoreTests", dependencies: ["BatonStore", "BatonLinux", "BatonCore"],
            exclude: ["Golden"], swiftSettings: strict),
        .testTarget(
            name: "BatonLinuxTests", dependencies: ["BatonLinux", "BatonCore", "CLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "BatonWireTests", dependencies: ["BatonWire", "BatonCore"], swiftSettings: strict),
        .testTarget(
            name: "BatonSupervisorTests", dependencies: ["BatonSupervisor", "BatonCore"],
            swiftSettings: strict),
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "BatonClient", "BatonStore", "BatonLinux", "BatonCore", "BatonWire", "CLinux",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "BatonClientTests", dependencies: ["BatonClient", "BatonLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "BatonSystemdTests",
            dependencies: ["BatonSystemd", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["baton-simulate"], swiftSettings: strict),
        .testTarget(
            name: "FuzzTests", dependencies: ["BatonFuzz"], exclude: ["Corpus"],
            swiftSettings: strict),
        .testTarget(name: "SystemdTests", swiftSettings: strict),
        .testTarget(name: "TidyTests", swiftSettings: strict),
    ] + plugins.map(\.target)
)
