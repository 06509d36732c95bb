// Where things are when the command line does not say: as systemd says, as root, or as a user.
// Runs in batond.

import Glibc

struct Places {
    let configurationFile: String
    let plugins: String
    let state: String
    let runtime: String
    /// Beside batond, or in the libexec directory that `make install` uses.
    let hostProgram: String

    init() {
        let isRoot = geteuid() == 0
        let home = Self.variable("HOME") ?? "/tmp"
        configurationFile =
            Self.directory("CONFIGURATION_DIRECTORY").map { "\($0)/batond.yaml" }
            ?? (isRoot
                ? "/etc/baton/batond.yaml"
                : "\(Self.variable("XDG_CONFIG_HOME") ?? "\(home)/.config")/baton/batond.yaml")
        let data = "\(Self.variable("XDG_DATA_HOME") ?? "\(home)/.local/share")/baton"
        plugins = isRoot ? "/usr/lib/baton/plugins" : "\(data)/plugins"
        state =
            Self.directory("STATE_DIRECTORY")
            ?? (isRoot
                ? "/var/lib/baton"
                : "\(Self.variable("XDG_STATE_HOME") ?? "\(home)/.local/state")/baton")
        runtime =
            Self.directory("RUNTIME_DIRECTORY")
            ?? (isRoot
                ? "/run/baton"
                : Self.variable("XDG_RUNTIME_DIR").map { "\($0)/baton" }
                    ?? "/tmp/baton-\(getuid())")
        hostProgram = Self.findHostProgram()
    }

    private static func findHostProgram() -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe bytes.baseAddress.map { unsafe readlink("/proc/self/exe", $0, bytes.count) } ?? 0
        }
        let path = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        let directory = path.split(separator: "/").dropLast().joined(separator: "/")
        let candidates = ["/\(directory)/baton-host", "/\(directory)/../libexec/baton/baton-host"]
        return candidates.first { unsafe access($0, X_OK) == 0 } ?? candidates[0]
    }

    private static func variable(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// systemd may name several, separated by colons: the first is ours.
    private static func directory(_ name: String) -> String? {
        variable(name)?.split(separator: ":").first.map(String.init)
    }
}
