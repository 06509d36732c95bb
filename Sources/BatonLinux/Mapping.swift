// Memory mapped from a descriptor: mapped once, unmapped once. Used in batond and baton-host.

import Glibc

@safe package struct Mapping: ~Copyable {
    package let base: UnsafeMutableRawPointer
    package let count: Int

    /// Maps `count` bytes of `descriptor`, shared with everybody else who has it mapped.
    package init(_ descriptor: Int32, count: Int, writable: Bool) throws(SystemError) {
        let protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
        let mapped = unsafe mmap(nil, count, protection, MAP_SHARED, descriptor, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .last("map \(count) bytes")
        }
        unsafe base = mapped
        self.count = count
    }

    deinit { _ = unsafe munmap(base, count) }

    package var bytes: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: base, count: count)
    }
}
