// A file descriptor that is owned: one owner, closed once. Used in every process.

import CLinux
import Glibc

package struct Descriptor: ~Copyable, Sendable {
    /// Valid while this value lives.
    package let number: Int32

    package init(owning number: Int32) {
        precondition(number >= 0, "a descriptor is never negative: check the call that made it")
        self.number = number
    }

    /// Takes the result of a call that made a descriptor.
    package init(_ operation: @autoclosure () -> String, _ number: Int32) throws(SystemError) {
        guard number >= 0 else { throw .last(operation()) }
        self.number = number
    }

    deinit { _ = close(number) }

    /// Gives the number away; the caller closes it.
    package consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    package borrowing func duplicate() throws(SystemError) -> Descriptor {
        try Descriptor("duplicate a descriptor", baton_fcntl_int(number, F_DUPFD_CLOEXEC, 3))
    }

    /// Opens `path`, close-on-exec, and waits for nobody: a pipe in a file's place has no other end.
    /// Relative paths are below `directory`.
    package static func open(
        _ path: String, in directory: Int32 = AT_FDCWD, flags: Int32, mode: UInt32 = 0
    ) throws(SystemError) -> Descriptor {
        try Descriptor(
            "open \(path)", unsafe baton_open_at(directory, path, flags | O_NONBLOCK, mode))
    }

    /// A counter that wakes; non-blocking unless said.
    package static func event(blocking: Bool = false) throws(SystemError) -> Descriptor {
        let flags = Int32(EFD_CLOEXEC) | (blocking ? 0 : Int32(EFD_NONBLOCK))
        return try Descriptor("make an eventfd", eventfd(0, flags))
    }

    /// Memory with a descriptor, of `size` bytes, all zero, that can be sealed.
    package static func memory(_ name: String, size: Int) throws(SystemError) -> Descriptor {
        let made = try Descriptor("make a memfd", unsafe baton_memfd(name))
        guard ftruncate(made.number, size) == 0 else { throw .last("size a memfd") }
        return made
    }

    /// Shrinking, growing and further sealing is barred from here on; with `writes` that too.
    package borrowing func seal(writes: Bool) throws(SystemError) {
        guard baton_seal_memfd(number, writes ? 1 : 0) == 0 else { throw .last("seal a memfd") }
    }

    package borrowing func setNonBlocking() throws(SystemError) {
        let flags = baton_fcntl_int(number, F_GETFL, 0)
        guard flags >= 0, baton_fcntl_int(number, F_SETFL, flags | O_NONBLOCK) == 0 else {
            throw .last("make a descriptor non-blocking")
        }
    }

    package borrowing func status() throws(SystemError) -> stat {
        var result = stat()
        guard unsafe fstat(number, &result) == 0 else { throw .last("stat a descriptor") }
        return result
    }

    /// Writes all of `bytes` at `offset`.
    package borrowing func write(_ bytes: UnsafeRawBufferPointer, at offset: Int)
        throws(SystemError)
    {
        var done = 0
        while done < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
            let put = retryInterrupted {
                unsafe pwrite(number, rest.baseAddress, rest.count, off_t(offset + done))
            }
            guard put > 0 else {
                throw put == 0 ? SystemError("write", code: ENOSPC) : .last("write")
            }
            done += put
        }
    }

    /// Reads up to all of `buffer` from `offset`; fewer bytes only at the end of the file.
    package borrowing func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int)
        throws(SystemError) -> Int
    {
        var done = 0
        while done < buffer.count {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let got = retryInterrupted {
                unsafe pread(number, rest.baseAddress, rest.count, off_t(offset + done))
            }
            guard got >= 0 else { throw .last("read") }
            if got == 0 { break }
            done += got
        }
        return done
    }
}
