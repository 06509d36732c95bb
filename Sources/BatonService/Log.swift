// Lines for the journal. Runs in baton-host.

import CBaton

/// `Log.info("3 orders restored")` in a service's `init`, `handle`, `snapshot` or `deinit`.
///
/// It works while Baton calls the service and on the thread of that call, and nowhere else: a
/// service is called synchronously and has nothing to do, so nothing to say, in between. Long lines
/// are cut and floods are dropped, by the host.
public enum Log {
    public static func debug(_ text: String) { write(BATON_DEBUG, text) }
    public static func info(_ text: String) { write(BATON_INFO, text) }
    public static func warning(_ text: String) { write(BATON_WARNING, text) }
    public static func error(_ text: String) { write(BATON_ERROR, text) }

    private static func write(_ level: baton_log_level, _ text: String) {
        unsafe HostCall.current?.log(level, text)
    }
}
