// Environment: the variables that this command looks at. Runs in baton.

import Glibc

enum Environment {
    static var variables: [String: String] {
        var variables: [String: String] = [:]
        for name in ["BATON_RUNTIME", "XDG_RUNTIME_DIR", "NO_COLOR", "TERM"] {
            if let value = unsafe getenv(name) { variables[name] = unsafe String(cString: value) }
        }
        return variables
    }
}
