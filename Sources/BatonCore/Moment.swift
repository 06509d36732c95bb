// Time as the supervisor knows it: monotonic, and handed in.

/// Nanoseconds of the monotonic clock.
package struct Moment: Hashable, Comparable, Sendable {
    package let nanoseconds: UInt64
    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static let distantFuture = Moment(nanoseconds: .max)

    package func advanced(by span: Span) -> Moment {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(span.nanoseconds)
        return overflow ? .distantFuture : Moment(nanoseconds: sum)
    }
    /// The time from `earlier` until here; zero if that is later.
    package func since(_ earlier: Moment) -> Span {
        Span(nanoseconds: nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0)
    }
    package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// A length of time.
    package struct Span: Hashable, Comparable, Sendable, CustomStringConvertible {
        package let nanoseconds: UInt64
        package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
        package static func milliseconds(_ count: UInt64) -> Span {
            Span(count, times: 1_000_000)
        }
        package static func seconds(_ count: UInt64) -> Span { Span(count, times: 1_000_000_000) }
        /// What is longer than can be told is the longest there is: 584 years.
        private init(_ count: UInt64, times unit: UInt64) {
            let (product, overflow) = count.multipliedReportingOverflow(by: unit)
            nanoseconds = overflow ? .max : product
        }
        package var microseconds: UInt64 { nanoseconds / 1000 }
        package var milliseconds: UInt64 { nanoseconds / 1_000_000 }
        package static func < (left: Self, right: Self) -> Bool {
            left.nanoseconds < right.nanoseconds
        }
        package var description: String {
            nanoseconds < 10_000_000
                ? "\(microseconds) µs"
                : nanoseconds < 10_000_000_000
                    ? "\(milliseconds) ms" : "\(milliseconds / 1000) s"
        }
    }
}
