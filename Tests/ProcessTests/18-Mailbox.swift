// MAILBOX and `baton mailbox`: what lies in a mailbox, and its dead letters.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("18 Mailbox") struct MailboxShown {
        let daemon: TestDaemon

        init() throws {
            // A letter takes two deaths of a host; a service lives through many.
            daemon = try TestDaemon(
                plugins: "faulty", "counter",
                configuration: "limits: {attempts: 2, restarts: 100}\n")
        }

        /// Sends a message that kills its host until it is set aside.
        private func poison(_ message: [UInt8]) throws {
            let error = #expect(throws: ClientError.self) {
                try daemon.client.call("faulty", message)
            }
            guard case .refused("POISON", _) = error else {
                Issue.record("\(String(describing: error)) where POISON was expected")
                return
            }
        }

        @Test("A mailbox is told in numbers, and waiting messages are waiting")
        func numbers() throws {
            try daemon.client.change(.suspend, "counter")
            for number in 1...5 { _ = try daemon.client.send("counter", Array("\(number)".utf8)) }
            let waiting = try daemon.client.mailbox("counter").decoded()
            #expect(waiting.service == "counter")
            #expect(waiting.appended == 5 && waiting.settled == 0 && waiting.waiting == 5)
            #expect(waiting.oldestKept == 1)
            #expect(waiting.bytes > 0 && waiting.keptBytes == 0)
            #expect(waiting.attempts.isEmpty && waiting.deadLetters == 0)
            try daemon.client.change(.resume, "counter")
            #expect(try daemon.call("counter", "0") == "15")
            let shown = try daemon.baton("mailbox", "counter")
            #expect(shown.exit == .code(0), "\(shown.error)")
            #expect(shown.output.contains("6 accepted, 6 settled, 0 waiting"), "\(shown.output)")
            #expect(try daemon.baton("mailbox", "nobody").exit == .code(4))
        }

        @Test("A dead letter is listed with its bytes, and what cannot be printed is a dot")
        func deadLetters() throws {
            #expect(try daemon.client.deadLetters("faulty").decoded().isEmpty)
            _ = try daemon.call("faulty", "hello")
            let message = Array("crash".utf8)
            try poison(message)
            let letters = try daemon.client.deadLetters("faulty").decoded()
            #expect(letters.count == 1)
            let letter = try #require(letters.first)
            #expect(letter.sequence == 2)
            #expect(letter.attempts == 2)
            #expect(letter.version == "1")
            #expect(letter.bytes == message.count)
            #expect(letter.text == "crash")
            #expect(Data(base64Encoded: letter.base64) == Data(message))
            let mailbox = try daemon.client.mailbox("faulty").decoded()
            #expect(mailbox.deadLetters == 1 && mailbox.deadLettersEver == 1)

            let shown = try daemon.baton("mailbox", "faulty", "--dead")
            #expect(shown.exit == .code(0), "\(shown.error)")
            #expect(shown.lines.count == 2)
            #expect(shown.lines.last?.hasSuffix("5  crash") == true, "\(shown.output)")
            let json = try daemon.baton("mailbox", "faulty", "--dead", "--json").output
            #expect(
                try Report<[DeadLetterStatus]>(json: Array(json.utf8)).decoded() == letters)
        }

        @Test("A dead letter is delivered again as a new message, and may be set aside again")
        func redeliver() throws {
            try poison(Array("crash".utf8))
            let redelivered = try daemon.baton("mailbox", "faulty", "--redeliver", "1")
            #expect(redelivered.output == "faulty  1 dead letter redelivered\n")
            try wait(for: "the dead letter's end") { try daemon.status("faulty").settled == 2 }
            #expect(try daemon.client.deadLetters("faulty").decoded().map(\.sequence) == [2])
            let again = try daemon.baton("mailbox", "faulty", "--redeliver", "1")
            #expect(again.exit == .code(1))
            #expect(again.error.contains("no dead letter 1"), "\(again.error)")
            let mailbox = try daemon.client.mailbox("faulty").decoded()
            #expect(mailbox.deadLetters == 1 && mailbox.deadLettersEver == 2)
            #expect(mailbox.appended == 2 && mailbox.settled == 2)
        }

        @Test("Once the service is mended all dead letters are handled again, in their order")
        func mended() throws {
            let daemon = try TestDaemon(configuration: "limits: {attempts: 1, restarts: 100}\n")
            _ = try daemon.reload(try Trial.first.image(), as: "trial")
            for _ in 1...3 {
                #expect(throws: ClientError.self) { try daemon.call("trial", "die 1") }
            }
            let letters = try daemon.client.deadLetters("trial").decoded()
            #expect(letters.map(\.text) == ["die 1", "die 1", "die 1"])
            let second = try Trial.second.file(in: daemon.directory)
            #expect(try daemon.upgrade("trial", to: second).verdict == .upgraded)
            #expect(try daemon.client.dispose(.redeliver, of: nil, in: "trial") == 3)
            #expect(try daemon.call("trial", "version") == "2")
            let mailbox = try daemon.client.mailbox("trial").decoded()
            #expect(mailbox.appended == 7 && mailbox.settled == 7)
            #expect(mailbox.deadLetters == 0 && mailbox.deadLettersEver == 3)
            #expect(try daemon.client.dispose(.redeliver, of: nil, in: "trial") == 0)
        }

        @Test("Discarded dead letters are gone, one or all, also after kill -9")
        func discard() throws {
            for _ in 1...2 { try poison(Array("crash".utf8)) }
            #expect(try daemon.client.dispose(.discard, of: 1, in: "faulty") == 1)
            #expect(try daemon.client.deadLetters("faulty").decoded().map(\.sequence) == [2])
            let all = try daemon.baton("mailbox", "faulty", "--discard", "all", "--json")
            #expect(all.output == "{\"service\":\"faulty\",\"discarded\":1}\n")
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.client.deadLetters("faulty").decoded().isEmpty)
            #expect(try daemon.client.mailbox("faulty").decoded().deadLettersEver == 2)
        }

        @Test("Dead letters are still there after kill -9")
        func kept() throws {
            try poison(Array("crash".utf8))
            let letters = try daemon.client.deadLetters("faulty").decoded()
            try daemon.killHard()
            try daemon.start()
            #expect(try daemon.client.deadLetters("faulty").decoded() == letters)
        }

        @Test("Options that go together ill are usage errors")
        func usage() throws {
            for arguments in [
                ["--redeliver", "1", "--discard", "1"], ["--redeliver", "some"],
                ["--discard", "0"], ["--dead", "--discard", "all"],
            ] {
                let output = try Tool.run(
                    Products.program("baton"), ["mailbox", "faulty"] + arguments,
                    environment: ["BATON_RUNTIME": daemon.runtime.path])
                #expect(output.exit == .code(64), "\(arguments): \(output.output)")
            }
        }
    }
}
