// Every bound in Baton, in one place. The configuration file may change those of `Limits`;
// the ones of `FixedLimits` are part of formats and protocols.

/// What the operator may set, with the defaults.
package struct Limits: Equatable, Sendable {
    /// Bytes of one message, and of one reply.
    package var messageBytes = 1 << 20
    /// Bytes of a service's state.
    package var stateBytes = 16 << 20
    /// A state of more than so many bytes lies in a slot, not in the log. Fixed but for the simulator,
    /// whose states are small.
    package var inlineStateBytes = FixedLimits.inlineStateBytes
    /// Bytes of unsettled records in one mailbox.
    package var mailboxBytes = 1 << 30
    /// Bytes written to one mailbox while a slow sync is waited for; beyond them nothing new is taken.
    package var unsyncedBytes = 64 << 20
    /// Client connections in all.
    package var connections = 1024
    /// Client connections of one user; three quarters of all if not said.
    package var connectionsPerUser: Int?
    /// Bytes for the input and the replies of all clients together.
    package var clientsBytes = 256 << 20
    /// Bytes of replies waiting in one connection before it is read no further.
    package var repliesBytes = 4 << 20
    /// Messages of one connection without a reply before it is read no further.
    package var repliesPending = 1 << 20

    /// What each service remembers of messages that bear their clients' ids.
    package var ids = IDWindow.Bounds(
        count: 10_000, bytes: 4 << 20, ageMilliseconds: 10 * 60 * 1000)

    package var prepareTimeout = Moment.Span.seconds(10)
    package var suspendTimeout = Moment.Span.seconds(5)
    package var migrateTimeout = Moment.Span.seconds(5)
    /// How long a rollback may take to handle again what was settled since the switch.
    package var replayTimeout = Moment.Span.seconds(60)
    /// How long one message may be in hand before its host is ended; zero: as long as it likes.
    package var handleTimeout = Moment.Span.seconds(60)
    /// How long a service that is removed may take to handle what waits.
    package var drainTimeout = Moment.Span.seconds(30)
    /// How long a host may take to end by itself.
    package var stopTimeout = Moment.Span.seconds(2)
    /// How long `SIGTERM` may take in all.
    package var shutdownTimeout = Moment.Span.seconds(10)
    /// A client that takes nothing of its waiting replies for so long is closed.
    package var stalledClientTimeout = Moment.Span.seconds(60)

    /// Restarts of a host within `restartPeriod` before the service is stopped.
    package var restarts = 5
    package var restartPeriod = Moment.Span.seconds(30)
    /// Bytes of one mailbox kept for a rollback alone; beyond them the release is confirmed.
    package var probationBytes = 256 << 20
    /// Bytes of memory one host may have; 0: as many as it likes.
    package var hostMemory = 0
    /// Failed attempts at one message before it is a dead letter.
    package var attempts: UInt32 = 3

    package init() {}

    /// Nobody takes the last places of all.
    package var connectionsOfOneUser: Int { connectionsPerUser ?? max(1, connections * 3 / 4) }
    /// A few of the largest messages fit in any case.
    package var clientsBudget: Int { max(clientsBytes, 8 * messageBytes) }
}

/// What formats and protocols rest on.
package enum FixedLimits {
    package static let firstSegmentBytes = 256 << 10
    package static let lastSegmentBytes = 16 << 20
    /// Of the id that a client gives to a message, and of the client's name.
    package static let idBytes = 64
    package static let clientNameBytes = 64
    /// A sync that takes longer is slow.
    package static let slowSync = Moment.Span.seconds(1)
    /// A disk with less free is nearly full, until it has `enoughRoomPercent`.
    package static let lowRoomPercent = 10
    package static let enoughRoomPercent = 12
    /// How long it is until something is tried again for which there was no room.
    package static let roomRetry = Moment.Span.seconds(1)
    /// A disk that fails twice within it is not tried a third time.
    package static let diskFailureSeconds = 600
    /// Dead letters of one service, and their bytes: each base record of the log holds them all.
    package static let deadLetters = 256
    package static let deadLetterBytes = 4 << 20
    /// Bytes of a state that is kept in the log itself.
    package static let inlineStateBytes = 32 << 10
    /// Bytes of settled log kept for an earlier state alone; beyond them the state is copied.
    package static let earlierLogBytes = 16 << 20
    /// Messages that a repaired mailbox may have lost before others that are kept, and the ranges they
    /// make: hosts are told of them in one frame.
    package static let passedMessages = 1 << 20
    package static let lostRanges = 256
    /// Descriptors that clients do not get: batond's own, and those of a service with three hosts.
    package static let descriptorsKept = 64
    package static let descriptorsPerService = 24
    /// Those of a service with one host.
    package static let descriptorsPerServiceAtRest = 8
    /// Connections to control.sock beyond the limit of all.
    package static let controlConnections = 16
    /// Bytes read from one client in one turn of the loop, and from all of them, so that nobody waits
    /// long for the others; with very many at once each is read so much at least.
    package static let readBytes = 64 << 10
    package static let readBytesOfAll = 256 << 10
    package static let readBytesAtLeast = 2 << 10
    /// Unfinished input of one client that is copied to what comes next; with more of it, that is
    /// copied behind it instead.
    package static let shortInputBytes = 8 << 10
    /// Bytes of answers to one client in one turn, other than replies of services.
    package static let answerBytes = 16 << 10
    /// What a client may always have in memory, however much others have.
    package static let leastClientBytes = 16 << 10
    /// Beside its bytes, what a reply costs that waits behind another.
    package static let parkedReplyBytes = 96
    /// An output queue keeps so much memory when it is empty.
    package static let idleOutputBytes = 16 << 10
    /// A client for which more replies wait holds up its service, as one that had asked a suspended
    /// service for much; but is closed unless it takes so many bytes in each such time.
    package static let hardRepliesBytes = 16 << 20
    package static let heldUpSpan = Moment.Span.milliseconds(250)
    package static let heldUpBytes = 1 << 20
    /// Each client that was closed for it halves that time for the next, until there was none for so
    /// long.
    package static let heldUpMemory = Moment.Span.seconds(10)
    /// How long what waits of one connection may keep its service busy, and how many messages it may
    /// be at least, and before it is known how long one takes.
    package static let aheadSpan = Moment.Span.milliseconds(1)
    package static let aheadAtLeast: UInt64 = 16
    package static let aheadAtFirst: UInt64 = 64
    /// Warnings about clients that are refused come no more often.
    package static let warningSpan = Moment.Span.seconds(10)
    /// When no descriptor is left even to refuse a client, nobody is looked at for so long.
    package static let descriptorPause = Moment.Span.milliseconds(100)
    /// The ring of outcomes between a host and the supervisor.
    package static let ringBytes = 256 << 10
    /// Bytes of one frame on the channel to a host.
    package static let frameBytes = 4096
    /// Frames of one host in one second before it is taken for hostile.
    package static let framesPerSecond = 2000
    /// Bytes of an image.
    package static let imageBytes = 512 << 20
    /// Bytes of an image read and hashed in one turn of the loop.
    package static let imageStepBytes = 512 << 10
    /// In a reload, how long a service that is being prepared holds up those behind it.
    package static let preparedWithin = Moment.Span.milliseconds(100)
    /// Bytes of the configuration file.
    package static let configurationBytes = 1 << 20
    /// Images kept beside those in use.
    package static let coldImages = 4
    package static let versionBytes = 63
    package static let reasonBytes = 512
    package static let logLineBytes = 1024
}
