// What batond tells systemd: ready, reloading, stopping, its status, that it is alive.
// A module of its own, so that no host loads libsystemd. Without systemd every call does nothing.

import CSystemd
import Glibc

package struct ServiceManager: Sendable {
    /// How often systemd wants a sign of life, in microseconds; `nil` if it does not.
    package let watchdogMicroseconds: UInt64?

    package init() {
        var microseconds: UInt64 = 0
        let enabled = unsafe sd_watchdog_enabled(0, &microseconds)
        watchdogMicroseconds = enabled > 0 && microseconds > 0 ? microseconds : nil
    }

    package func ready(status: String) { notify("READY=1\nSTATUS=\(oneLine(status))") }
    package func status(_ text: String) { notify("STATUS=\(oneLine(text))") }
    package func stopping() { notify("STOPPING=1\nSTATUS=stopping") }
    package func alive() { notify("WATCHDOG=1") }

    /// `READY=1` follows when the reload is over.
    /// - Parameter monotonicMicroseconds: of CLOCK_MONOTONIC, as systemd's protocol asks.
    package func reloading(monotonicMicroseconds: UInt64) {
        notify("RELOADING=1\nMONOTONIC_USEC=\(monotonicMicroseconds)\nSTATUS=reloading")
    }

    private func notify(_ text: String) { _ = unsafe sd_notify(0, text) }

    private func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 })
    }
}
