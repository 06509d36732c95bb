// As many versions of the service `trial` as a test wants, each well or with its own way to go wrong:
// the bytes of libtrial.so, with another text behind the marker that its source explains.

import Foundation

struct Trial {
    /// Its label.
    var version = "1"
    /// The format of its state, 1 or 2.
    var writes = 1
    /// The formats that it takes and declares; `0...0`: it declares nothing, and takes its own.
    var takes = 1...1
    /// What goes wrong in it: `crash-at 1`, `migration-hang`; trial.c has the list.
    var plan = "none"

    /// The first version; the second, which takes both formats; the first again, as one that can
    /// take back what the second wrote.
    static let first = Trial()
    static let second = Trial(version: "2", writes: 2, takes: 1...2)
    static let firstTakesBoth = Trial(takes: 1...2)

    /// The second version, gone wrong.
    static func second(_ plan: String) -> Trial {
        Trial(version: "2", writes: 2, takes: 1...2, plan: plan)
    }

    private static let marker = Data("BATON-TRIAL-SETTINGS=".utf8)
    private static let settingsBytes = 128

    var settings: String {
        "version=\(version) writes=\(writes) takes=\(takes.lowerBound)-\(takes.upperBound) plan=\(plan)"
    }

    /// The bytes of its image.
    func image() throws -> Data {
        var image = try Products.bytes("trial")
        guard let found = image.range(of: Self.marker) else {
            throw Failure("libtrial.so has no marker")
        }
        let text = Data(settings.utf8)
        guard text.count < Self.settingsBytes else { throw Failure("too long: \(settings)") }
        let place = found.upperBound..<found.upperBound + Self.settingsBytes
        image.replaceSubrange(place, with: text + Data(count: Self.settingsBytes - text.count))
        return image
    }

    /// The image as a file in a test's directory, for `baton upgrade --image`.
    func file(in directory: ScratchDirectory) throws -> String {
        let name = "\(version)-\(plan.replacing(" ", with: "-"))-\(writes)-\(takes.upperBound).so"
        return try directory.write(try image(), name)
    }
}
