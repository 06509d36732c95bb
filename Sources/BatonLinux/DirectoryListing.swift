// The names in a directory. Used in batond.

import Glibc

package enum DirectoryListing {
    /// All names but `.` and `..`, sorted.
    package static func names(_ path: String) throws(SystemError) -> [String] {
        guard let directory = unsafe opendir(path) else { throw .last("list \(path)") }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        errno = 0
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(
                    to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)
                ) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw .last("list \(path)") }
        return names.sorted()
    }
}
