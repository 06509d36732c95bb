// `baton versions`: the images a service has. Runs in baton.

import ArgumentParser
import BatonClient

struct Versions: DaemonCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the images that a service has.",
        discussion: """
            The current one handles messages. The old one, which did so before, is kept warm for \
            'baton rollback'. The confirmed one is shown where it is another than the current \
            one, which is on probation then: a crash or a reboot brings the confirmed one back. A \
            candidate is being upgraded to. Cold ones are in the image store only. SINCE and WHY \
            tell when, and by what, an image last became the current one.

            An image is known by the SHA-256 of its bytes; two may bear the same version.

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
            .init(title: "SINCE"), .init(title: "WHY"),
        ])
        // The old one may be the confirmed one too.
        var rows: [(image: ServiceImage, roles: [String])] = []
        for image in images {
            if let row = rows.firstIndex(where: { $0.image.digest == image.digest }) {
                rows[row].roles.append(image.role)
            } else {
                rows.append((image, [image.role]))
            }
        }
        table.rows = rows.map { image, roles in
            [
                Table.Cell(
                    roles.joined(separator: ", "), roles.contains("current") ? .good : .plain),
                "\(image.version ?? "-")", "\(image.digest)", "\(image.at ?? "-")",
                "\(image.cause ?? "-")",
            ]
        }
        for line in table.lines(colour: Output.hasColour) { Output.line(line) }
        return .done
    }
}
