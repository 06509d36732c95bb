// Who holds a lock, told without taking it.

import BatonLinux
import CLinux
import Glibc
import Testing

@Suite("The table of locks")
struct LockTableTests {
    @Test("It names who has an exclusive lock, and nobody where there is none or a shared one")
    func holder() throws {
        var template = Array("/tmp/baton-lock-XXXXXX".utf8CString)
        let number = unsafe mkstemp(&template)
        let file = try Descriptor("make a file", number)
        defer { _ = unsafe unlink(&template) }
        func holder() throws -> Int32? {
            LockTable.holder(of: try file.status(), supposed: nil)
        }
        #expect(try holder() == nil)
        #expect(flock(file.number, LOCK_SH) == 0)
        #expect(try holder() == nil)
        #expect(flock(file.number, LOCK_EX) == 0)
        #expect(try holder() == getpid())
        // Asking took nothing away, and took nothing.
        #expect(try holder() == getpid())
        #expect(flock(file.number, LOCK_UN) == 0)
        #expect(try holder() == nil)
    }
}
