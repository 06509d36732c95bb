// Loads the one image of this process and checks its table. Runs in baton-host, inside the sandbox:
// an image's constructors run here.

import BatonCore
import BatonLinux
import CBaton
import Glibc

/// Why an image cannot be a service; said to the operator.
struct ImageError: Error {
    var reason: String
}

/// A plugin's table, checked.
@safe struct Plugin {
    let table: UnsafePointer<baton_table>
    let name: String
    let version: String
    /// The format of the state that it writes, and those that it takes; 0 and 0...0 if undeclared.
    let stateVersion: UInt32
    let takes: ClosedRange<UInt32>

    var hasState: Bool { unsafe table.pointee.snapshot != nil }
}

enum ImageLoader {
    static func load() throws(ImageError) -> Plugin {
        let path = "/proc/self/fd/\(HostChannel.Number.image)"
        guard let image = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            let text = unsafe dlerror().map { unsafe String(cString: $0) } ?? "unknown"
            throw ImageError(
                reason: "the image does not load: "
                    + text.replacing(path, with: "the image"))
        }
        guard let symbol = unsafe dlsym(image, "baton_service") else {
            throw ImageError(
                reason: "the image has no symbol baton_service: export it as baton.h says")
        }
        let function = unsafe unsafeBitCast(
            symbol, to: (@convention(c) (UInt32) -> UnsafePointer<baton_table>?).self)
        guard let table = unsafe function(UInt32(BATON_ABI)) else {
            throw ImageError(
                reason: "the plugin does not work with ABI \(BATON_ABI), which this Baton has")
        }
        return try unsafe check(table)
    }

    private static func check(_ table: UnsafePointer<baton_table>) throws(ImageError) -> Plugin {
        let size = unsafe table.pointee.size
        guard size >= leastSize else {
            throw ImageError(
                reason: "the plugin's table has \(size) bytes, at least \(leastSize) are needed: "
                    + "set size to sizeof(baton_table)"
            )
        }
        // What lies beyond its size is not the plugin's; zeros declare nothing.
        var value = unsafe baton_table()
        unsafe withUnsafeMutableBytes(of: &value) { value in
            unsafe value.copyMemory(
                from: UnsafeRawBufferPointer(start: table, count: min(size, value.count)))
        }
        if size < wholeSize {
            unsafe value.state_version = 0
            unsafe value.takes_from = 0
            unsafe value.takes_to = 0
        }
        guard unsafe value.abi == UInt32(BATON_ABI) else {
            throw ImageError(
                reason:
                    unsafe "wrong ABI: the plugin has \(value.abi), this Baton \(BATON_ABI): build it "
                    + "with this Baton's baton.h")
        }
        guard unsafe value.start != nil, unsafe value.handle != nil else {
            throw ImageError(reason: "the plugin's table lacks start or handle")
        }
        guard let name = unsafe text(value.name), let version = unsafe text(value.version) else {
            throw ImageError(
                reason: "the plugin's name or version is not 1 to \(FixedLimits.versionBytes) "
                    + "printable characters")
        }
        let takes = try takenFormats(
            unsafe value.takes_from, unsafe value.takes_to, writes: unsafe value.state_version)
        return unsafe Plugin(
            table: table, name: name, version: version, stateVersion: value.state_version,
            takes: takes)
    }

    /// Up to here the first published baton.h had it: all that a plugin must have.
    private static let leastSize =
        unsafe MemoryLayout<baton_table>.offset(of: \.state_version)
        ?? MemoryLayout<baton_table>.size
    private static let wholeSize =
        unsafe (MemoryLayout<baton_table>.offset(of: \.takes_to) ?? 0) + MemoryLayout<UInt32>.size

    private static func takenFormats(_ from: UInt32, _ to: UInt32, writes: UInt32)
        throws(ImageError) -> ClosedRange<UInt32>
    {
        if from == 0, to == 0 { return 0...0 }
        guard from > 0, from <= to else {
            throw ImageError(
                reason: "the plugin takes the state formats \(from) to \(to): set takes_from and "
                    + "takes_to to the first and the last, counted from 1")
        }
        guard writes == 0 || (from...to).contains(writes) else {
            throw ImageError(
                reason: "the plugin writes state format \(writes) and takes \(from) to \(to): it "
                    + "must take its own, to go on after a crash")
        }
        return from...to
    }

    private static func text(_ pointer: UnsafePointer<CChar>?) -> String? {
        guard let pointer = unsafe pointer else { return nil }
        let count = unsafe strnlen(pointer, FixedLimits.versionBytes + 1)
        guard count >= 1, count <= FixedLimits.versionBytes else { return nil }
        let text = unsafe String(
            decoding: UnsafeRawBufferPointer(start: pointer, count: count), as: UTF8.self)
        let isPrintable = text.unicodeScalars.allSatisfy {
            $0.properties.generalCategory != .control
        }
        return isPrintable && text.utf8.count == count ? text : nil
    }
}
