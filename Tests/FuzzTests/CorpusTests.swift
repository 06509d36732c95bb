// What the fuzzers begin with, and what they have found, goes through the same entries.

import BatonFuzz
import Foundation
import Testing

@Suite("The fuzzers' corpus")
struct CorpusTests {
    private static func files(of target: FuzzTarget) throws -> [URL] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Corpus/\(target.rawValue)")
        return try FileManager.default.contentsOfDirectory(
            at: folder, includingPropertiesForKeys: nil)
    }

    @Test("Each of them is read without a crash", arguments: FuzzTarget.allCases)
    func corpus(target: FuzzTarget) async throws {
        let files = try Self.files(of: target)
        #expect(!files.isEmpty)
        for file in files {
            let data = try Data(contentsOf: file)
            for count in [data.count, data.count / 2, 1, 0] {
                unsafe data.withUnsafeBytes { bytes in
                    unsafe target.run(
                        UnsafeRawBufferPointer(rebasing: bytes[..<min(count, bytes.count)]))
                }
            }
        }
    }

    @Test("Targets that run at the same time do not disturb each other")
    func together() throws {
        let samples = try FuzzTarget.allCases.map { target in
            (target, try Self.files(of: target).prefix(40).map { try Data(contentsOf: $0) })
        }
        DispatchQueue.concurrentPerform(iterations: samples.count) { index in
            let (target, texts) = samples[index]
            for data in texts {
                unsafe data.withUnsafeBytes { unsafe target.run($0) }
            }
        }
    }
}
