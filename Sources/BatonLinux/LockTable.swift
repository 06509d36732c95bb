// The kernel's table of file locks: who holds one, told without taking it. Used in batond's
// `check` and `repair`.

import CLinux
import Glibc

package enum LockTable {
    /// The process that has an exclusive flock of a file.
    /// - Parameter supposed: the process that the file itself names; where the table has another
    ///   device for the file than stat has (btrfs, overlays), this tells it from a file of the same
    ///   number elsewhere.
    package static func holder(of status: stat, supposed: Int32?) -> Int32? {
        holder(inText: text(), of: status, supposed: supposed)
    }

    static func holder(inText text: String, of status: stat, supposed: Int32?) -> Int32? {
        for line in text.split(separator: "\n") {
            // 1: FLOCK  ADVISORY  WRITE 4711 fe:01:131077 0 EOF
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", words[3] == "WRITE",
                let pid = Int32(words[4]), pid > 0
            else { continue }
            let place = words[5].split(separator: ":")
            guard place.count == 3, UInt64(place[2]) == UInt64(status.st_ino) else { continue }
            let device = [major(status), minor(status)]
            if place.prefix(2).map({ UInt64($0, radix: 16) }) == device || pid == supposed {
                return pid
            }
        }
        return nil
    }

    // As glibc packs them.
    private static func major(_ status: stat) -> UInt64? {
        let device = UInt64(status.st_dev)
        return device >> 8 & 0xfff | device >> 32 & ~0xfff
    }
    private static func minor(_ status: stat) -> UInt64? {
        let device = UInt64(status.st_dev)
        return device & 0xff | device >> 12 & 0xffff_ff00
    }

    private static func text() -> String {
        guard let file = try? Descriptor.open("/proc/locks", flags: O_RDONLY) else { return "" }
        var text: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16 << 10)
        while text.count < 1 << 20 {
            let number = file.number
            let got = retryInterrupted { unsafe read(number, &part, part.count) }
            if got <= 0 { break }
            text += part.prefix(got)
        }
        return String(decoding: text, as: UTF8.self)
    }
}
