// What batond must not do with a mailbox, and what it may rely on when one is made.

import BatonCore
import BatonLinux
import BatonStore
import Glibc
import Testing

@Suite("The mailbox's contract")
struct ContractTests {
    @Test("Settling what was never appended, or nothing, traps")
    func settling() async {
        await #expect(processExitsWith: .failure) {
            let life = try Life(TemporaryDirectory())
            try life.append(1)
            try life.settle(2)
        }
        await #expect(processExitsWith: .failure) {
            let life = try Life(TemporaryDirectory())
            try life.append(1)
            try life.settle(1)
            try life.settle(1)
        }
    }

    @Test("A second sync before the first has ended traps")
    func twoSyncs() async {
        await #expect(processExitsWith: .failure) {
            let life = try Life(TemporaryDirectory())
            try life.sync()
            life.beginSync()
            life.beginSync()
        }
    }

    @Test("The name of a new mailbox is durable, not only what is in it")
    func directoryName() throws {
        let parent = try TemporaryDirectory()
        let disk = try TracedDisk(parent)
        let service = try #require(ServiceName("test"))
        let path = "\(parent.path)/test"
        try disk.trace { () throws(StoreError) in
            var report = Recovery.Report()
            _ = try Recovery.open(
                service: service, path: path, byteLimit: 1 << 20, report: &report)
        }
        let isSynced = disk.events.contains(.syncDirectory)
        #expect(isSynced)
        for name in try DirectoryListing.names(path) { _ = unsafe unlink("\(path)/\(name)") }
        _ = unsafe rmdir(path)
    }
}
