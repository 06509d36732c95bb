// How much of what is exhaustive is tried: all of it in an optimised build, a sample in a debug build,
// where each trial takes some forty times as long. What would take minutes even so is asked for with
// BATON_EXHAUSTIVE=1 in the environment.

import Glibc

enum Thoroughness {
    static let isFull: Bool = {
        var isFull = true
        // Evaluated in a debug build only.
        assert(
            {
                isFull = false
                return true
            }())
        return isFull
    }()

    static let isExhaustive = unsafe getenv("BATON_EXHAUSTIVE") != nil

    /// Of so many trials one is made.
    static let step = isFull ? 1 : 41
}
