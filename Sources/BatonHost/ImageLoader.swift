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
        let value = unsafe table.pointee
        guard unsafe value.size >= MemoryLayout<baton_table>.size else {
            throw ImageError(
                reason: unsafe "the plugin's table has \(value.size) bytes, at least "
                    + "\(MemoryLayout<baton_table>.size) are needed: set size to sizeof(baton_table)"
            )
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
        return unsafe Plugin(table: table, name: name, version: version)
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
