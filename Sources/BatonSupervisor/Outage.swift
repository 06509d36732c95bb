// Why a service has no mailbox that takes messages: it is listed and answers with an error.
// Runs in batond.

import BatonCore
import BatonStore

enum Outage: Equatable {
    /// Its mailbox is damaged, or cannot be read.
    case quarantined(reason: String)
    /// There is no room to open its mailbox; it is tried again.
    case noRoom(reason: String)
    /// batond writes nothing at all.
    case readOnly(reason: String)

    init(_ error: StoreError) {
        self = error.isLackOfRoom ? .noRoom(reason: "\(error)") : .quarantined(reason: "\(error)")
    }

    var reason: String {
        switch self {
        case .quarantined(let reason), .noRoom(let reason), .readOnly(let reason): reason
        }
    }

    /// What clients are answered.
    var code: String {
        switch self {
        case .quarantined: "UNAVAILABLE"
        case .noRoom, .readOnly: "READONLY"
        }
    }

    /// In `STATUS`.
    var stateText: String {
        switch self {
        case .quarantined: "quarantined"
        case .noRoom, .readOnly: "read_only"
        }
    }

    var waitsFor: String {
        switch self {
        case .quarantined: "its mailbox to be put right, and batond to be started again"
        case .noRoom: "room on the disk"
        case .readOnly: "the disk to be put right, and batond to be started again by hand"
        }
    }

    var event: Event.Kind {
        switch self {
        case .quarantined: .quarantined
        case .noRoom, .readOnly: .readOnly
        }
    }
}
