// A configuration file with anything in it: taken, or refused with a reason. Runs in the fuzzer.

import BatonSupervisor

enum FuzzConfiguration {
    static func run(_ bytes: UnsafeRawBufferPointer) {
        let defaults = Configuration(
            directories: Configuration.Directories(plugins: "/p", state: "/s", runtime: "/r"),
            hostProgram: "/h")
        do throws(ConfigurationRefusal) {
            _ = try ConfigurationFile.parse(
                unsafe String(decoding: bytes, as: UTF8.self), path: "batond.yaml", into: defaults)
        } catch {
            precondition(error.description.contains("batond.yaml"), "no place: \(error)")
        }
    }
}
