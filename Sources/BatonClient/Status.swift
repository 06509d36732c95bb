// Status: what STATUS answers. Runs in baton and in tests.

import BatonWire

/// The daemon and all its services.
package struct DaemonStatus: Codable, Equatable, Sendable {
    package var version: String
    package var pid: Int
    package var uptimeSeconds: Int
    /// `running`, `reloading`, `stopping`.
    package var state: String
    package var services: [ServiceStatus]
    /// `nil` from a batond before 0.3.
    package var clients: ClientsStatus?
    /// Services that were removed and have not come back.
    package var removed: [RemovedService]?
}

/// Those who are connected, and those who were refused; counted since batond's start.
package struct ClientsStatus: Codable, Equatable, Sendable {
    package var connected: Int
    /// As many as there may be, of `connections` and of the limit of descriptors.
    package var places: Int
    /// Memory that they take in batond.
    package var bytes: Int
    package var accepted: Int
    package var refusedBusy: Int
    package var refusedBusyUid: Int
    package var refusedNoDescriptor: Int
    package var refusedDenied: Int
    /// They ended within a message.
    package var discardedUnfinished: Int
    package var closedTooBig: Int
    package var closedProtocol: Int
    /// They did not read their replies, or stopped within a large message.
    package var closedStalled: Int
    /// For want of memory.
    package var closedBusy: Int
}

/// A service without a file, whose mailbox is kept.
package struct RemovedService: Codable, Equatable, Sendable {
    package var name: String
    /// Messages that wait for its return; `nil` if that is not known.
    package var waiting: Int?
}

/// One service. Counts of messages are since the mailbox was made.
package struct ServiceStatus: Codable, Equatable, Sendable {
    package var name: String
    package var state: ServiceState
    /// Why it is in this state, where there is something to tell.
    package var reason: String?
    package var version: String?
    /// SHA-256 of the running image, in hexadecimal.
    package var digest: String?
    package var pid: Int?
    package var oldVersion: String?
    package var oldDigest: String?
    package var oldPid: Int?
    /// The phase of the upgrade under way.
    package var phase: String?
    /// `commit`, `interval`, `none`.
    package var durability: String
    package var appended: Int
    package var settled: Int
    package var waiting: Int
    package var deadLetters: Int
    /// Messages that are remembered by their clients' ids.
    package var ids: Int?
    package var restarts: Int
    package var upgrades: Int
    package var connections: Int
    package var mailboxBytes: Int
    /// The file in the plugin directory is not what runs.
    package var diskVersionDiffers: Bool
    package var lastUpgrade: ServiceVerdict?
    package var images: [ServiceImage]
    /// `confirmed`, or `provisional`: then a crash or a reboot brings the confirmed version back.
    package var release: String?
    package var confirmedVersion: String?
    package var confirmedDigest: String?
    package var probationMillisecondsLeft: Int?
    package var messageInHand: Int?
}

/// A service's state by name. Open, so that a client can show what a newer daemon says.
package struct ServiceState: RawRepresentable, Codable, Hashable, Sendable {
    package let rawValue: String

    package init(rawValue: String) {
        self.rawValue = rawValue
    }

    package static let starting = ServiceState(rawValue: "starting")
    package static let running = ServiceState(rawValue: "running")
    package static let suspended = ServiceState(rawValue: "suspended")
    package static let upgrading = ServiceState(rawValue: "upgrading")
    package static let restarting = ServiceState(rawValue: "restarting")
    package static let stopped = ServiceState(rawValue: "stopped")
    package static let quarantined = ServiceState(rawValue: "quarantined")
    /// Its file is gone: it goes, once what waits is handled.
    package static let removing = ServiceState(rawValue: "removing")

    /// It handles no messages until somebody sees to it.
    package var isDown: Bool { self == .stopped || self == .quarantined }
}

/// An image that the service has.
package struct ServiceImage: Codable, Equatable, Sendable {
    /// `current`, `old`, `confirmed` (where that is another than the current one), `candidate`,
    /// or `cold`: in the image store only.
    package var role: String
    package var version: String?
    package var digest: String
    /// When and why it last became the current one, in RFC 3339.
    package var at: String?
    package var cause: String?
}

extension [ServiceImage] {
    /// The images as the daemon writes them.
    package var json: [UInt8] {
        var json = JSONText()
        json.array { json in
            for image in self {
                json.object { json in
                    json.member("role", image.role)
                    json.member("version", image.version)
                    json.member("digest", image.digest)
                    json.member("at", image.at)
                    json.member("cause", image.cause)
                }
            }
        }
        return json.bytes
    }
}
