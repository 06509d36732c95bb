// The clock that deadlines are measured with; it does not jump. Used in every process.

import BatonCore
import CLinux
import Glibc

package enum MonotonicClock {
    package static func now() -> Moment {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Moment(
            nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }
}
