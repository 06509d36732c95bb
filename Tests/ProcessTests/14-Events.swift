// SUBSCRIBE events, and `baton events`: who is told what, and what happens to who does not read.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("14 Events") struct Events {
        let daemon: TestDaemon

        init() throws {
            daemon = try TestDaemon(plugins: "ping", "counter")
        }

        private var soon: Deadline { Deadline(after: .patience) }

        private func connection() throws -> RESPConnection {
            try RESPConnection(path: daemon.runtime.messageSocket, deadline: soon)
        }

        private func bulk(_ text: String) -> RESPValue { .bulk(Array(text.utf8)) }

        private func json(_ message: RESPValue) throws -> [String: Any] {
            let parts: [RESPValue]
            switch message {
            case .array(let elements), .push(let elements): parts = elements
            default: throw Failure("\(message) is no event")
            }
            guard parts.count == 3, parts[0] == bulk("message"), parts[1] == bulk("events"),
                case .bulk(let bytes) = parts[2],
                let object = try JSONSerialization.jsonObject(with: Data(bytes))
                    as? [String: Any]
            else { throw Failure("\(message) is no event") }
            return object
        }

        @Test("A subscriber is told what happens, with time and all members")
        func told() throws {
            var connection = try connection()
            let confirmed = try connection.call("SUBSCRIBE", "events", deadline: soon)
            #expect(confirmed == .array([bulk("subscribe"), bulk("events"), .integer(1)]))
            _ = try daemon.client.reload()
            let event = try json(try connection.receive(deadline: soon))
            #expect(event["event"] as? String == "reloaded")
            let time = try #require(event["time"] as? String)
            let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
            #expect(try style.parse(time).timeIntervalSinceNow.magnitude < 60)
            #expect(
                Set(event.keys) == [
                    "time", "service", "event", "phase", "from", "to", "digest", "cause", "pid",
                    "message", "duration_microseconds",
                ])
        }

        @Test("In RESP3 events are pushes, and commands are answered between them")
        func pushes() throws {
            var connection = try connection()
            _ = try connection.call("HELLO", "3", deadline: soon)
            let confirmed = try connection.call("SUBSCRIBE", "events", deadline: soon)
            #expect(confirmed == .push([bulk("subscribe"), bulk("events"), .integer(1)]))
            _ = try daemon.client.reload()
            #expect(
                try connection.call("CALL", "ping", "ping", deadline: soon)
                    .isEventBefore(bulk("pong"), in: &connection))
        }

        @Test("In RESP2 a subscriber may ask few things, and after UNSUBSCRIBE everything again")
        func restricted() throws {
            var connection = try connection()
            #expect(
                try connection.call("UNSUBSCRIBE", deadline: soon)
                    == .array([bulk("unsubscribe"), .null, .integer(0)]))
            _ = try connection.call("SUBSCRIBE", "events", deadline: soon)
            for words in [["CALL", "ping", "ping"], ["STATUS"], ["HELLO", "3"]] {
                let reply = try connection.call(words.map { Array($0.utf8) }, deadline: soon)
                guard case .error(let text) = reply else {
                    Issue.record("\(words) was answered \(reply)")
                    continue
                }
                #expect(text.hasPrefix("ERR this connection is subscribed"))
            }
            #expect(
                try connection.call("PING", deadline: soon) == .array([bulk("pong"), bulk("")]))
            #expect(
                try connection.call("UNSUBSCRIBE", "events", deadline: soon)
                    == .array([bulk("unsubscribe"), bulk("events"), .integer(0)]))
            _ = try daemon.client.reload()
            #expect(try connection.call("CALL", "ping", "ping", deadline: soon) == bulk("pong"))
        }

        @Test("There is one channel, and two names for it are two confirmations")
        func channels() throws {
            var connection = try connection()
            guard case .error = try connection.call("SUBSCRIBE", "news", deadline: soon) else {
                Issue.record("a channel that is none was taken")
                return
            }
            let confirmation = RESPValue.array([bulk("subscribe"), bulk("events"), .integer(1)])
            #expect(
                try connection.call("SUBSCRIBE", "events", "events", deadline: soon)
                    == confirmation)
            #expect(try connection.receive(deadline: soon) == confirmation)
        }

        @Test("Nothing comes before the confirmation, and that waits for earlier replies")
        func order() throws {
            try daemon.client.change(.suspend, "counter")
            var connection = try connection()
            try connection.send(["CALL", "counter", "5"].map { Array($0.utf8) }, deadline: soon)
            try connection.send(["SUBSCRIBE", "events"].map { Array($0.utf8) }, deadline: soon)
            _ = try daemon.client.reload()
            try daemon.client.change(.resume, "counter")
            #expect(try connection.receive(deadline: soon) == bulk("5"))
            #expect(
                try connection.receive(deadline: soon)
                    == .array([bulk("subscribe"), bulk("events"), .integer(1)]))
            _ = try daemon.client.reload()
            #expect(
                try json(try connection.receive(deadline: soon))["event"] as? String == "reloaded")
        }

        @Test("A subscriber that does not read is told how much it missed, and holds up nobody")
        func missed() throws {
            let daemon = try TestDaemon(
                plugins: "ping", configuration: "limits: {replies_bytes: 64 KiB}\n")
            var events = try EventStream(daemon.runtime)
            // More than the socket holds and the limit together.
            let count = 1200
            var control = try RESPConnection(path: daemon.runtime.controlSocket, deadline: soon)
            for _ in 0..<count {
                _ = try control.call("RELOAD", deadline: soon)
            }
            #expect(try daemon.call("ping", "ping") == "pong")
            var seen = 0
            var missed = 0
            while seen + missed < count {
                let event = try events.next(deadline: soon).decoded()
                if event.event == "missed" {
                    missed += try #require(event.count)
                } else {
                    #expect(event.event == "reloaded")
                    seen += 1
                }
            }
            #expect(seen > 0)
            #expect(missed > 0)
            // From here on it is told everything again.
            _ = try control.call("RELOAD", deadline: soon)
            #expect(try events.next(deadline: soon).decoded().event == "reloaded")
        }

        @Test("The end of the daemon is the last event, and waits for no subscriber")
        func stopping() throws {
            var events = try EventStream(daemon.runtime)
            try daemon.stop()
            #expect(try events.next(deadline: soon).decoded().event == "stopping")
            #expect(throws: ClientError.disconnected) { _ = try events.next(deadline: soon) }
        }

        @Test("batond's end does not wait for a subscriber that does not read")
        func stoppingUnread() throws {
            let events = try EventStream(daemon.runtime)
            var control = try RESPConnection(path: daemon.runtime.controlSocket, deadline: soon)
            for _ in 0..<600 { _ = try control.call("RELOAD", deadline: soon) }
            #expect(try daemon.stop() == .code(0))
            #expect(!daemon.logText.contains("not everything ended in time"))
            _ = consume events
        }

        // MARK: Of upgrades

        /// The events up to and with the first of `kind`.
        private func events(
            _ stream: inout EventStream, upTo kind: String
        ) throws -> [ServiceEvent] {
            var events: [ServiceEvent] = []
            while events.last?.event != kind {
                events.append(try stream.next(deadline: soon).decoded())
            }
            return events
        }

        @Test("An upgrade's phases come in order, with versions, digest, process and times")
        func phases() throws {
            let daemon = try TestDaemon(configuration: "probation: 100ms\n")
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            _ = try daemon.call("trial", "sum 5")
            var stream = try EventStream(daemon.runtime)
            _ = try daemon.upgrade("trial", to: Trial.second.file(in: daemon.directory))
            let events = try events(&stream, upTo: "confirmed")
            #expect(
                events.map(\.event) == [
                    "prepare", "suspend", "load", "resume", "upgraded", "confirmed",
                ])
            #expect(events.allSatisfy { $0.service == "trial" })
            let digest = try #require(try daemon.status("trial").digest)
            #expect(events.dropLast().allSatisfy { $0.digest == digest })
            #expect(events.prefix(4).allSatisfy { $0.phase == $0.event })
            let upgraded = events[4]
            #expect(upgraded.from == "1" && upgraded.to == "2" && upgraded.message == 1)
            #expect(upgraded.pid == (try daemon.status("trial").pid))
            #expect(try #require(upgraded.durationMicroseconds) > 0)
            #expect(events == events.sorted { ($0.time ?? "") < ($1.time ?? "") })
        }

        @Test("A version that crashes within its probation: its end, the way back, and why")
        func rolledBack() throws {
            let daemon = try TestDaemon()
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            _ = try daemon.upgrade("trial", to: Trial.second.file(in: daemon.directory))
            var stream = try EventStream(daemon.runtime)
            #expect(try daemon.call("trial", "die 2") == "alive")
            let events = try events(&stream, upTo: "rolled_back")
            let ended = try #require(events.first)
            #expect(ended.event == "host_ended")
            #expect(ended.message == 1)
            #expect(ended.cause?.contains("signal 11") == true)
            let last = try #require(events.last)
            #expect(last.from == "2" && last.to == "1")
            #expect(last.cause?.contains("probation") == true)
        }

        @Test("A dead letter, its redelivery and its end are events with its number")
        func deadLetters() throws {
            let daemon = try TestDaemon(plugins: "faulty")
            var stream = try EventStream(daemon.runtime)
            #expect(throws: ClientError.self) { try daemon.call("faulty", "crash") }
            let dead = try events(&stream, upTo: "dead_letter")
            #expect(dead.last?.message == 1)
            #expect(dead.filter { $0.event == "host_ended" }.count == 3)
            _ = try daemon.client.dispose(.redeliver, of: 1, in: "faulty")
            #expect(try events(&stream, upTo: "redelivered").last?.message == 1)
            _ = try events(&stream, upTo: "dead_letter")
            _ = try daemon.client.dispose(.discard, of: 2, in: "faulty")
            #expect(try events(&stream, upTo: "discarded").last?.message == 2)
        }

        // MARK: baton events

        /// `baton events` with these arguments, and the file that it writes to.
        private func batonEvents(_ arguments: String...) throws -> (ChildProcess, String) {
            let output = "\(daemon.directory.path)/events"
            let child = try ChildProcess(
                Products.program("baton"), ["events"] + arguments,
                environment: Tool.surroundings.merging(["BATON_RUNTIME": daemon.runtime.path]) {
                    $1
                }, output: output, error: output)
            return (child, output)
        }

        private func text(_ file: String) -> String {
            String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
        }

        @Test("baton events prints a line for each event, at once, and ends after --count")
        func printed() throws {
            let (child, output) = try batonEvents("--count", "2")
            try wait(for: "the first line") {
                _ = try daemon.client.reload()
                return text(output).contains("\n")
            }
            _ = try daemon.client.reload()
            #expect(try child.end() == .code(0))
            let lines = text(output).split(separator: "\n")
            #expect(lines.count == 2)
            let expected = /\d{4}-\d\d-\d\dT[\d:.]+Z  batond  reloaded  every image is current/
            for line in lines {
                #expect(try expected.prefixMatch(in: line) != nil, "\(line)")
            }
        }

        @Test("baton events of one service leaves the others' out, and ends well when interrupted")
        func interrupted() throws {
            let (child, output) = try batonEvents("counter", "--json")
            let refused = "\(daemon.directory.path)/refused.so"
            try wait(for: "the first line") {
                for service in ["ping", "counter"] {
                    _ = try daemon.upgrade(service, to: refused)
                }
                return text(output).contains("\n")
            }
            child.signal(SIGINT)
            #expect(try child.end() == .code(0))
            for line in text(output).split(separator: "\n") {
                let event = try Report<ServiceEvent>(json: Array(line.utf8)).decoded()
                #expect(event.service == "counter")
                #expect(event.event == "refused")
                #expect(event.phase == "prepare")
                #expect(event.from == "1")
                #expect(event.cause?.isEmpty == false)
            }
        }

        @Test("baton events ends with the daemon, and of a service that is not there at once")
        func ends() throws {
            #expect(try daemon.baton("events", "nobody").exit == .code(4))
            let (child, output) = try batonEvents()
            try wait(for: "the first line") {
                _ = try daemon.client.reload()
                return text(output).contains("\n")
            }
            try daemon.stop()
            #expect(try child.end() == .code(0))
            #expect(text(output).split(separator: "\n").last?.hasSuffix("stopping") == true)
            #expect(try daemon.baton("events").exit == .code(69))
        }
    }
}

extension RESPValue {
    /// Whether this is a push and the next value is `reply`.
    fileprivate func isEventBefore(
        _ reply: RESPValue, in connection: inout RESPConnection
    ) throws -> Bool {
        guard case .push = self else { return false }
        return try connection.receive(deadline: Deadline(after: .patience)) == reply
    }
}
