// All that batond rests on, looked at and left as it is: the state directory, every mailbox, the images,
// the markers of removed services, the plugin directory, the configuration. It takes no lock: a
// batond may be at work, or start, meanwhile. Runs in `batond check`.
//
// The rules are not here: each is the one that batond itself goes by.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import Glibc

package struct Inspection {
    package private(set) var findings: [Finding] = []
    package private(set) var mailboxes: [MailboxCondition] = []
    let state: String
    /// The batond that is at work here.
    let holder: Int32?

    private let plugins: String
    private let isOfAll: Bool
    private var removals: [ServiceName: StateDirectory.Removed] = [:]
    /// What lies in the image store as it should.
    private var goodImages: Set<ImageDigest> = []

    package var isWell: Bool { !findings.contains { $0.kind.isFault } }

    /// - Parameters:
    ///   - services: which mailboxes to look at; with none, all, and everything else.
    ///   - refusal: what is wrong with the configuration.
    package init(
        _ services: [ServiceName], _ directories: Configuration.Directories,
        refusal: ConfigurationRefusal?
    ) throws(CheckRefusal) {
        state = directories.state
        plugins = directories.plugins
        isOfAll = services.isEmpty
        holder = StateDirectory.holder(of: state)
        let known: [ServiceName]
        do throws(SystemError) {
            _ = try DirectoryListing.names(state)
            known = try MailboxCondition.services(in: state)
        } catch { throw .unreadable("\(error)") }
        if let unknown = services.first(where: { !known.contains($0) }) {
            throw .noSuchService(unknown, state)
        }
        removals = StateDirectory.removals(below: state)
        inspectState()
        for service in isOfAll ? known : services {
            let mailbox = MailboxCondition(
                service, state: state, isRemoved: removals[service] != nil)
            mailboxes.append(mailbox)
            inspect(mailbox)
        }
        inspectImages()
        guard isOfAll else { return }
        inspectPlugins()
        if let refusal { add(.refused, what: refusal.description) }
    }

    private mutating func add(
        _ kind: Finding.Kind, _ service: ServiceName? = nil, place: String? = nil, what: String,
        next: String? = nil
    ) {
        findings.append(
            Finding(kind: kind, service: service, place: place, what: what, next: next))
    }

    // MARK: The state directory

    private mutating func inspectState() {
        for path in [state, "\(state)/mailboxes", "\(state)/images"] {
            // batond makes those that are missing.
            if path != state, unsafe access(path, F_OK) != 0, errno == ENOENT { continue }
            if let fault = StateDirectory.fault(of: path) { add(.refused, what: fault) }
        }
        if let fault = StateDirectory.formatFault(of: state) { add(.refused, what: fault) }
        let own = ["lock", "format", "format.new", "mailboxes", "images", Repair.directoryName]
        for name in (try? DirectoryListing.names(state)) ?? [] where !own.contains(name) {
            add(.noted, place: "\(state)/\(name)", what: "not of Baton, left alone")
        }
        for name in (try? DirectoryListing.names("\(state)/mailboxes")) ?? [] {
            let suffix = [".made", ".removed", ".removed.new"].first { name.hasSuffix($0) } ?? ""
            if ServiceName(name.dropLast(suffix.count)) == nil {
                add(.noted, place: "\(state)/mailboxes/\(name)", what: "not of Baton, left alone")
            }
        }
    }

    // MARK: Mailboxes

    private mutating func inspect(_ mailbox: MailboxCondition) {
        let service = mailbox.service
        let path = MailboxCondition.path(of: service, state)
        if let finding = mailbox.finding { findings.append(finding) }
        for slot in mailbox.survey.damagedSlots {
            add(
                .noted, service, place: slot,
                what: "the state it should hold is not needed: batond comes to it again by the "
                    + "messages since the one before, or, of a way back, does without")
        }
        for name in mailbox.survey.unknownFiles {
            add(.noted, service, place: "\(path)/\(name)", what: "not of Baton, left alone")
        }
        if removals[service]?.isValid == false {
            add(
                .damaged, service, place: "\(path).removed",
                what: "the marker of its removal is not as it was written: the service stays "
                    + "removed, and its images are not known",
                next: "put \(service).so back and 'baton reload', and remove the service again")
        }
    }

    // MARK: Images

    private mutating func inspectImages() {
        let directory = "\(state)/images"
        let wanted = wantedImages()
        for name in (try? DirectoryListing.names(directory)) ?? [] {
            // Being written, or left from when that was cut off.
            if name.hasSuffix(".so.new") { continue }
            guard name.hasSuffix(".so"), let digest = ImageDigest(hex: name.dropLast(3)) else {
                add(.noted, place: "\(directory)/\(name)", what: "not of Baton, left alone")
                continue
            }
            if isOfAll || wanted.contains(where: { $0.digest == digest }) {
                inspectImage(digest, "\(directory)/\(name)")
            }
        }
        for (service, digest, role) in wanted where !goodImages.contains(digest) {
            let path = "\(directory)/\(digest).so"
            let isThere = unsafe access(path, F_OK) == 0
            let next =
                isThere
                ? "put the right one in its place, or "
                : "put it there (its SHA-256 is its name), or "
            add(
                .damaged, service, place: path,
                what: isThere
                    ? "\(role) is not what its name says" : "\(role) is not in the image store",
                next: next + "'baton upgrade \(service) --image FILE' to another")
        }
    }

    private func wantedImages() -> [(service: ServiceName, digest: ImageDigest, role: String)] {
        var wanted: [(service: ServiceName, digest: ImageDigest, role: String)] = []
        // What a damaged mailbox boots with is not known.
        for mailbox in mailboxes where mailbox.fault == nil {
            let standing = mailbox.survey.standing
            if let release = standing.release {
                wanted.append(
                    (mailbox.service, release.digest, "the image of its release \(release.version)")
                )
            }
            if let fallback = standing.fallback?.release {
                wanted.append(
                    (
                        mailbox.service, fallback.digest,
                        "the image of \(fallback.version), which it may fall back to,"
                    ))
            }
        }
        let services = Set(mailboxes.map(\.service))
        for (service, removed) in removals.sorted(by: { $0.key < $1.key })
        where services.contains(service) {
            for digest in removed.images ?? []
            where !wanted.contains(where: { $0.service == service && $0.digest == digest }) {
                wanted.append((service, digest, "an image it may come back with"))
            }
        }
        return wanted
    }

    private mutating func inspectImage(_ digest: ImageDigest, _ path: String) {
        do throws(ImageRefusal) {
            guard try Self.digest(of: path) != digest else {
                goodImages.insert(digest)
                return
            }
            add(
                .damaged, place: path, what: "its bytes are not those that its name says",
                next: "put the right file in its place, or remove it if no service needs it")
        } catch {
            // A batond may have let it go meanwhile.
            guard unsafe access(path, F_OK) == 0 else { return }
            add(.refused, what: error.reason)
        }
    }

    private static func digest(of path: String) throws(ImageRefusal) -> ImageDigest {
        var intake = try ImageIntake(path: path)
        while true {
            if let image = try intake.step() { return image.digest }
        }
    }

    // MARK: Plugins

    private mutating func inspectPlugins() {
        do throws(ImageRefusal) {
            let listing = try PluginDirectory.list(plugins)
            for file in listing.leftOut { add(.noted, what: file) }
            for (service, path) in listing.files {
                do throws(ImageRefusal) { _ = try Self.digest(of: path) } catch {
                    add(
                        .refused, service, what: error.reason,
                        next: "a reload does not take it, and what runs stays")
                }
            }
        } catch { add(.refused, what: error.reason) }
    }
}
