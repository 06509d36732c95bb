// What a service tells the world: its events, with what is known of the upgrade that runs.
// Runs in batond.

import BatonCore
import BatonStore

extension Service {
    func emit(
        _ kind: Event.Kind, digest: ImageDigest? = nil, cause: String? = nil, pid: Int32? = nil,
        message: UInt64? = nil, duration: Moment.Span? = nil
    ) {
        supervisor.emit(
            Event(
                kind, service: name, from: attempt.map(\.fromVersion) ?? currentVersion,
                to: attempt?.toVersion, digest: digest ?? attempt?.image.digest, cause: cause,
                pid: pid ?? candidate?.pid, message: message, duration: duration))
    }

    func emit(_ kind: Event.Kind, of verdict: Verdict) {
        supervisor.emit(
            Event(
                kind, service: name, from: verdict.from, to: verdict.to, digest: verdict.digest,
                cause: verdict.cause, pid: current?.pid,
                message: verdict.switchedAfter?.value, duration: verdict.pause,
                refusedIn: verdict.refusedIn))
    }
}
