// As many versions of one service as a test wants: the bytes of libstamp.so, with other digits
// behind the marker that its source explains.

import Foundation

enum Stamp {
    private static let marker = Data("BATON-STAMP-VERSION=".utf8)

    /// The image whose version is `version`, four digits.
    static func image(_ version: Int) throws -> Data {
        var image = try Products.bytes("stamp")
        guard let found = image.range(of: marker) else {
            throw Failure("libstamp.so has no marker")
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
