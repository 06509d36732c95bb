// UpgradeOptions: what may follow `UPGRADE service` and `RELOAD`, read and written.
// Runs in batond and baton.

package struct UpgradeOptions: Equatable, Sendable {
    /// The image's absolute path; without it the service's file in the plugin directory.
    package var image: String?
    /// End a message that does not finish in time.
    package var force = false
    /// So many settled messages are handled by the new version in the shadow first; without a word
    /// as many as the configuration says.
    package var rehearse: Int?
    /// So many replies may differ from the recorded ones.
    package var allow: Int?
    /// Say what would be done, and do nothing.
    package var isDryRun = false
    /// Answer when the release is confirmed or rolled back.
    package var waits = false

    package init() {}

    /// `nil` where `words` are no options of UPGRADE.
    package init?(upgrade words: [String]) {
        var words = words[...]
        while let word = words.popFirst() {
            switch CommandOption(word) {
            case .image:
                guard image == nil, let path = words.popFirst() else { return nil }
                image = path
            case .force: force = true
            case .rehearse:
                guard rehearse == nil, let count = Self.count(words.popFirst()) else { return nil }
                rehearse = count
            case .allow:
                guard rehearse != nil, allow == nil, let count = Self.count(words.popFirst())
                else { return nil }
                allow = count
            case .dryRun: isDryRun = true
            case .wait: waits = true
            case .timeout, .id, .dead, nil: return nil
            }
        }
    }

    /// `nil` where `words` are no options of RELOAD.
    package init?(reload words: [String]) {
        self.init(upgrade: words)
        var taken = UpgradeOptions()
        taken.isDryRun = isDryRun
        taken.waits = waits
        guard self == taken else { return nil }
    }

    /// As they follow the command.
    package var words: [String] {
        var words: [String] = []
        if let image { words += ["IMAGE", image] }
        if force { words.append("FORCE") }
        if let rehearse { words += ["REHEARSE", "\(rehearse)"] }
        if let allow { words += ["ALLOW", "\(allow)"] }
        if isDryRun { words.append("DRYRUN") }
        if waits { words.append("WAIT") }
        return words
    }

    private static func count(_ word: String?) -> Int? {
        guard var word else { return nil }
        return word.withUTF8 { unsafe DecimalText.parse(UnsafeRawBufferPointer($0)) }
    }
}
