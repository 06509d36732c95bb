// `baton versions`: the images a service has. Runs in baton.

import ArgumentParser
import BatonClient

struct Versions: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the images that a service has.",
        discussion: """
            The current one handles messages, the old one is kept warm, cold ones are on disk \
            only. An image is known by the SHA-256 of its bytes; two may bear the same version.

            Example:
              baton versions counter
            """)

    @Argument(help: "The service.")
    var service: String
    @OptionGroup var json: JSONFlag
    @OptionGroup var place: DaemonPlace

    func run(_ daemon: Daemon) throws(ClientError) -> CommandExit {
        let images = try daemon.status(service).decoded().images
        if json.isSet {
            Output.line(images.json)
            return .done
        }
        var table = Table([
            .init(title: "ROLE"), .init(title: "VERSION"), .init(title: "DIGEST"),
        ])
        table.rows = images.map { image in
            [
                Table.Cell(image.role, image.role == "current" ? .good : .plain),
                "\(image.version)", "\(image.digest)",
            ]
        }
        for line in table.lines(colour: Output.hasColour) { Output.line(line) }
        return .done
    }
}
