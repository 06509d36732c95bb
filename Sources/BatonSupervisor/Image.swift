// An image: the immutable bytes of a plugin, known by their SHA-256, in a sealed memfd.
// Runs in batond.

import BatonCore
import BatonLinux
import BatonStore
import CLinux
import Crypto
import Glibc

package final class Image {
    package let digest: ImageDigest
    let memory: OpenFile
    let byteCount: Int

    init(digest: ImageDigest, memory: OpenFile, byteCount: Int) {
        self.digest = digest
        self.memory = memory
        self.byteCount = byteCount
    }

    var fileName: String { "\(digest).so" }
}

/// Why a file is not taken for an image; said to the operator.
package struct ImageRefusal: Error {
    package var reason: String
}

/// Copies a file into a memfd and hashes it, a part in each turn of the loop, so that a large image
/// does not hold up messages. The file is opened once: what is hashed is what is loaded.
package struct ImageIntake {
    private let path: String
    private let file: OpenFile
    private let memory: OpenFile
    private var hash = SHA256()
    private var done = 0
    private var part = [UInt8](repeating: 0, count: FixedLimits.imageStepBytes)

    package init(path: String) throws(ImageRefusal) {
        self.path = path
        let status: stat
        do throws(SystemError) {
            // Not blocking, or a FIFO would hang here.
            file = OpenFile(try .open(path, flags: O_RDONLY | O_NOFOLLOW))
            status = try file.descriptor.status()
            memory = OpenFile(try .memory("baton-image", size: 0))
        } catch {
            throw ImageRefusal(
                reason: error.code == ELOOP
                    ? "\(path) is a symbolic link: put the file itself there" : "\(error)")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ImageRefusal(reason: "\(path) is not a regular file")
        }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw ImageRefusal(
                reason: "\(path) belongs to user \(status.st_uid): give it to root or to batond's "
                    + "user")
        }
        guard status.st_mode & S_IWOTH == 0 else {
            throw ImageRefusal(reason: "\(path) may be written by everybody: chmod o-w \(path)")
        }
        try Self.checkDirectory(of: path)
        guard status.st_size <= FixedLimits.imageBytes else {
            throw ImageRefusal(
                reason: "\(path) has \(status.st_size) bytes, at most \(FixedLimits.imageBytes) "
                    + "are taken")
        }
    }

    /// Who may write to the directory may put another file there. In one like /tmp, where everybody
    /// may do no more than add files, its owner says enough.
    private static func checkDirectory(of path: String) throws(ImageRefusal) {
        let parts = path.split(separator: "/").dropLast()
        let directory = "/" + parts.joined(separator: "/")
        var status = stat()
        guard unsafe stat(directory, &status) == 0 else {
            throw ImageRefusal(
                reason: "its directory cannot be looked at: \(SystemError.last(directory))")
        }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw ImageRefusal(
                reason: "\(directory) belongs to user \(status.st_uid), who could exchange the "
                    + "image: put it into a directory of root or of batond's user")
        }
        guard status.st_mode & S_IWOTH == 0 || status.st_mode & S_ISVTX != 0 else {
            throw ImageRefusal(
                reason: "\(directory) may be written by everybody, who could exchange the image: "
                    + "chmod o-w \(directory)")
        }
    }

    /// Takes one more part. The image, when that was the last.
    package mutating func step() throws(ImageRefusal) -> Image? {
        do throws(SystemError) {
            let got = try take()
            if got == part.count { return nil }
            try memory.descriptor.seal(writes: true)
        } catch { throw ImageRefusal(reason: "\(error)") }
        if let fault = ImageShape.fault(byteCount: done, read: read) {
            throw ImageRefusal(reason: "\(path): \(fault)")
        }
        guard let digest = ImageDigest(Array(hash.finalize())) else {
            preconditionFailure("SHA-256 has 32 bytes")
        }
        return Image(digest: digest, memory: memory, byteCount: done)
    }

    private func read(_ range: Range<Int>) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: range.count)
        let got = unsafe pread(memory.number, &bytes, range.count, off_t(range.lowerBound))
        return got == range.count ? bytes : nil
    }

    private mutating func take() throws(SystemError) -> Int {
        let offset = done
        var failed: SystemError?
        var got = 0
        let number = file.number
        unsafe part.withUnsafeMutableBytes { buffer in
            let result = retryInterrupted {
                unsafe pread(number, buffer.baseAddress, buffer.count, off_t(offset))
            }
            if result < 0 { failed = .last("read \(path)") } else { got = result }
            let taken = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<got])
            unsafe hash.update(bufferPointer: taken)
            do throws(SystemError) {
                try unsafe memory.descriptor.write(taken, at: offset)
            } catch { failed = error }
        }
        if let failed { throw failed }
        done += got
        guard done <= FixedLimits.imageBytes else {
            throw SystemError("read \(path): it grows beyond the limit", code: EFBIG)
        }
        return got
    }
}
