// How one mailbox is: what recovery would find, and what a removal has left. Runs in `batond check`
// and `batond repair`; nothing is written.

import BatonCore
import BatonLinux
import BatonStore
import BatonSupervisor
import BatonWire
import Glibc

package struct MailboxCondition: Sendable {
    enum Word: String {
        case clean, torn, damaged, unreadable
        case newerFormat = "newer format"
    }

    let service: ServiceName
    let survey: Survey
    /// Its plugin was removed, and it waits for it.
    let isRemoved: Bool

    /// Why batond does not open it.
    let fault: StoreError?

    init(_ service: ServiceName, state: String, isRemoved: Bool) {
        let path = Self.path(of: service, state)
        self.service = service
        self.isRemoved = isRemoved
        survey = Survey(service, path: path, wasMade: StateDirectory.wasMade(path))
        do throws(StoreError) {
            try StateDirectory.expectMailbox(at: path)
            if case .refused(let error) = survey.end { fault = error } else { fault = nil }
        } catch { fault = error }
    }

    static func path(of service: ServiceName, _ state: String) -> String {
        "\(state)/mailboxes/\(service)"
    }

    /// The services that have a mailbox, or had one.
    static func services(in state: String) throws(SystemError) -> [ServiceName] {
        let path = "\(state)/mailboxes"
        guard unsafe access(path, F_OK) == 0 || errno != ENOENT else { return [] }
        let names = try DirectoryListing.names(path).compactMap { name in
            ServiceName(name.hasSuffix(".made") ? String(name.dropLast(5)) : name)
        }
        return Set(names).sorted()
    }

    var word: Word {
        switch fault {
        case nil: if case .torn = survey.end { .torn } else { .clean }
        case .corrupt: .damaged
        case .newerFormat: .newerFormat
        case .system, .full, .noRoom, .slowDisk, .deadLettersFull, .idsFull, .tooLarge:
            .unreadable
        }
    }

    var finding: Finding? {
        switch fault {
        case nil: nil
        case .corrupt(let place, let reason):
            Finding(
                kind: .damaged, service: service, place: place, what: reason,
                next: "restore it from a copy, or stop batond and 'baton repair \(service)', which "
                    + "says first what can be kept")
        case .newerFormat:
            Finding(kind: .refused, service: service, what: fault.map { "\($0)" } ?? "")
        case .system, .full, .noRoom, .slowDisk, .deadLettersFull, .idsFull, .tooLarge:
            Finding(
                kind: .damaged, service: service, what: fault.map { "\($0)" } ?? "",
                next: "see that batond's user may read it, and that the disk can be read")
        }
    }

    // MARK: Telling

    func line(inUse: Bool) -> String {
        var parts = [word.rawValue + (isRemoved ? ", removed" : "")]
        let standing = survey.standing
        parts.append(
            (survey.appended.value == 1 ? "1 message" : "\(survey.appended) messages")
                + ", \(survey.unsettledCount) wait"
                + (standing.deadLetters.isEmpty
                    ? "" : ", \(standing.deadLetters.count) dead letters"))
        parts.append(
            survey.segmentCount == 1
                ? "1 segment of \(survey.byteCount >> 10) KiB"
                : "\(survey.segmentCount) segments, \(survey.byteCount >> 10) KiB")
        if let release = standing.release {
            parts.append("release \(release.version) (\(release.digest.short))")
        }
        if case .torn(let place, let byteCount) = survey.end, fault == nil {
            parts.append(
                inUse
                    ? "written to just now at \(place)"
                    : "the next start drops \(byteCount) bytes at \(place) that nobody was told of")
        }
        if fault != nil { parts[1] = "good up to message \(survey.appended)" }
        return "\(service): " + parts.joined(separator: "; ")
    }

    func write(to json: inout JSONText) {
        json.object { json in
            json.member("service", service.text)
            json.member("mailbox", word.rawValue)
            json.member("removed", isRemoved)
            json.member("appended", survey.appended.value)
            json.member("settled", survey.standing.settled.value)
            json.member("waiting", survey.unsettledCount)
            json.member("dead_letters", survey.standing.deadLetters.count)
            json.member("segments", survey.segmentCount)
            json.member("bytes", survey.byteCount)
            json.member("version", survey.standing.release?.version)
            json.member("digest", survey.standing.release?.digest.description)
            if case .torn(_, let byteCount) = survey.end {
                json.member("torn_bytes", byteCount)
            } else {
                json.member("torn_bytes", 0)
            }
            json.member("good_through_segment", survey.goodThrough?.segment)
            json.member("good_through_offset", survey.goodThrough?.offset)
        }
    }
}
