// What `MAILBOX` answers: JSON. Runs in batond.

import BatonCore
import BatonStore
import BatonWire

enum MailboxReport {
    static func mailbox(of service: Service) -> [UInt8] {
        let standing = service.mailbox.standing
        var json = JSONText()
        json.object { json in
            json.member("service", service.name.text)
            json.member("appended", service.mailbox.appended.value)
            json.member("settled", standing.settled.value)
            json.member("waiting", service.mailbox.unsettledCount)
            json.member("oldest_kept", service.mailbox.oldestKept.value)
            json.member("bytes", service.mailbox.byteCount)
            json.member("kept_bytes", service.mailbox.keptBytes)
            json.array("attempts") { json in
                for (sequence, attempts) in standing.attempts.sorted(by: { $0.key < $1.key }) {
                    json.object { json in
                        json.member("sequence", sequence)
                        json.member("attempts", attempts)
                    }
                }
            }
            json.member("dead_letters", standing.deadLetters.count)
            json.member("dead_letters_ever", standing.deadLetterCount)
        }
        return json.bytes
    }

    /// Bytes of a message shown as text.
    private static let textBytes = 256

    static func deadLetters(of service: Service) -> [UInt8] {
        var json = JSONText()
        json.array { json in
            for letter in service.mailbox.standing.deadLetters {
                json.object { json in
                    json.member("sequence", letter.sequence)
                    json.member("attempts", letter.attempts)
                    json.member("version", letter.version)
                    json.member("at", "\(Timestamp(milliseconds: letter.at))")
                    json.member("bytes", letter.bytes.count)
                    json.member("text", PrintableText.prefix(of: letter.bytes, limit: textBytes))
                    json.member("base64", Base64Text.encode(letter.bytes))
                }
            }
        }
        return json.bytes
    }
}
