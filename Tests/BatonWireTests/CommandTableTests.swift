// CommandTable: names, options, usage.

import BatonWire
import Testing

@Suite("Command table")
struct CommandTableTests {
    private func name(_ text: String) -> CommandName? {
        unsafe Array(text.utf8).withUnsafeBytes { unsafe CommandName($0) }
    }

    private func option(_ text: String) -> CommandOption? {
        unsafe Array(text.utf8).withUnsafeBytes { unsafe CommandOption($0) }
    }

    @Test("every command is found in upper, lower and mixed case", arguments: CommandName.allCases)
    func found(command: CommandName) {
        #expect(name(command.rawValue) == command)
        #expect(name(command.rawValue.lowercased()) == command)
        let mixed: String = command.rawValue.prefix(1) + command.rawValue.dropFirst().lowercased()
        #expect(name(mixed) == command)
        #expect(name(command.rawValue + "X") == nil)
        #expect(name("\0" + command.rawValue) == nil)
        #expect(name(" " + command.rawValue) == nil)
        #expect(name(String(command.rawValue.dropLast())) == nil)
    }

    @Test(
        "what is no command is not found",
        arguments: ["", "GET", "\0", "CALL\0", "cäll", "a name far longer than any"])
    func notFound(text: String) {
        #expect(name(text) == nil)
    }

    @Test("options are found in upper and lower case")
    func options() {
        #expect(option("timeout") == .timeout)
        #expect(option("IMAGE") == .image)
        #expect(option("Force") == .force)
        #expect(option("CALL") == nil)
    }

    @Test("only the verbs that change what runs are kept to control.sock")
    func changes() {
        #expect(
            CommandName.allCases.filter(\.changes)
                == [
                    .reload, .upgrade, .rollback, .confirm, .redeliver, .discard, .suspend, .resume,
                    .purge,
                ])
    }

    @Test(
        "usage begins with the name and shows as many arguments as must be there",
        arguments: CommandName.allCases)
    func usage(command: CommandName) {
        #expect(command.usage.split(separator: " ").first.map(String.init) == command.rawValue)
        let required = command.usage.split(separator: " ").dropFirst()
            .prefix { !$0.hasPrefix("[") }.count
        #expect(command.argumentCount.lowerBound <= required)
        #expect(command.argumentCount.contains(required))
    }

    @Test("the error for a wrong number of arguments shows the usage")
    func wrongNumber() {
        #expect(
            CommandName.call.wrongNumberOfArguments
                == "wrong number of arguments: CALL service payload [ID id] [TIMEOUT ms]")
    }
}
