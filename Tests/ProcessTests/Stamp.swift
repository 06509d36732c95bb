// As many versions of one service as a test wants: the bytes of libstamp.so, or libledger.so, with other
// digits behind the marker that the source explains.

import Foundation

enum Stamp {
    private static let marker = Data("BATON-STAMP-VERSION=".utf8)

    /// The image whose version is `version`, four digits.
    static func image(_ version: Int) throws -> Data { try image(version, of: "stamp") }

    /// - Parameter plugin: stamp or ledger.
    static func image(_ version: Int, of plugin: String) throws -> Data {
        var image = try Products.bytes(plugin)
        guard let found = image.range(of: marker) else {
            throw Failure("lib\(plugin).so has no marker")
        }
        let digits = found.upperBound..<found.upperBound + 4
        image.replaceSubrange(digits, with: Data(label(version).utf8))
        return image
    }

    /// `0007`
    static func label(_ version: Int) -> String {
        String("0000\(version)".suffix(4))
    }
}
