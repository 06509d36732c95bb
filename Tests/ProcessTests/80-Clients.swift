// Clients made by others, unmodified: the tools of Redis and redis-py.

import BatonClient
import BatonLinux
import Foundation
import Testing

extension Processes {
    @Suite("80 Clients of others") struct ClientsOfOthers {
        /// Where `make venv` puts redis-py.
        private static let python = "\(Products.repository)/.build/venv/bin/python"

        private static let hasRedisPy =
            FileManager.default.isExecutableFile(atPath: python)
            && (try? Tool.run(python, "-c", "import redis").exit) == .code(0)

        private static let hasRedisTools =
            Tool.find("redis-cli") != nil && Tool.find("redis-benchmark") != nil

        let daemon: TestDaemon

        init() throws {
            daemon = try TestDaemon(plugins: "ping", "counter", "faulty")
        }

        @Test("redis-cli calls, asks and pings", .enabled(if: hasRedisTools, "needs redis-tools"))
        func redisCLI() throws {
            let socket = daemon.runtime.messageSocket
            func cli(_ words: String..., input: String = "") throws -> Tool.Output {
                try Tool.run("redis-cli", ["-s", socket] + words, input: input)
            }
            #expect(try cli("PING").output == "PONG\n")
            #expect(try cli("CALL", "ping", "ping").output == "pong\n")
            #expect(try cli("-3", "CALL", "ping", "ping").output == "pong\n")
            #expect(try cli("STATUS", "ping").output.contains("\"version\":\"1\""))
            #expect(try cli("CALL", "nobody", "ping").output.hasPrefix("NOSERVICE "))
            #expect(try cli("-e", "CALL", "nobody", "ping").exit == .code(1))
            // As it works with a script of commands on its standard input.
            let script = (1...100).map { "CALL counter \($0)\n" }.joined()
            #expect(try cli(input: script).lines.last == "5050")
            #expect(try cli("-r", "50", "CALL", "counter", "1").lines.last == "5100")
            let whole = try cli("CALL", "faulty", "reply 1000000").output
            #expect(whole.utf8.count == 1_000_001)
        }

        @Test(
            "redis-benchmark runs CALL ping ping", .enabled(if: hasRedisTools, "needs redis-tools"))
        func redisBenchmark() throws {
            let run = try Tool.run(
                "redis-benchmark", "-s", daemon.runtime.messageSocket, "-n", "20000", "-P", "16",
                "-q", "CALL", "ping", "ping")
            #expect(run.exit == .code(0), "\(run.error)")
            #expect(run.output.contains("requests per second"), "\(run.output)")
            #expect(!(run.output + run.error).contains("rror"), "\(run.output)\(run.error)")
            #expect(try daemon.status("ping").settled == 20_000)
        }

        @Test(
            "redis-py calls, pipelines, and speaks RESP2 and RESP3",
            .enabled(if: hasRedisPy, "no redis-py: `make venv` prepares it in .build/venv"))
        func redisPy() throws {
            let script = """
                import redis, sys
                for protocol in 2, 3:
                    r = redis.Redis(unix_socket_path=sys.argv[1], protocol=protocol)
                    assert r.ping()
                    assert r.execute_command('CALL', 'ping', 'ping') == b'pong'
                    sequence = r.execute_command('SEND', 'counter', '0')
                    assert isinstance(sequence, int), sequence
                    before = int(r.execute_command('CALL', 'counter', '0'))
                    p = r.pipeline(transaction=False)
                    for number in range(1, 1001):
                        p.execute_command('CALL', 'counter', number)
                    sums = [int(reply) for reply in p.execute()]
                    expected = [before + n * (n + 1) // 2 for n in range(1, 1001)]
                    assert sums == expected, sums[:5]
                    try:
                        r.execute_command('CALL', 'nobody', 'ping')
                        assert False, 'no error'
                    except redis.ResponseError as error:
                        assert str(error).startswith('NOSERVICE'), error
                    binary = bytes(range(256))
                    assert r.execute_command('CALL', 'faulty', binary) == binary
                    assert r.client_setname('me') and r.client_getname() in ('me', b'me')
                    r.close()
                print('done')
                """
            let run = try Tool.run(
                Self.python, "-I", "-c", script, daemon.runtime.messageSocket)
            #expect(run.output == "done\n", "\(run.error)")
            #expect(try daemon.call("counter", "0") == "\(2 * 500_500)")
        }

        @Test(
            "redis-py subscribes to events, in RESP2 and RESP3",
            .enabled(if: hasRedisPy, "no redis-py: `make venv` prepares it in .build/venv"))
        func redisPySubscribes() throws {
            let script = """
                import json, redis, sys
                def message(p):
                    while True:
                        m = p.get_message(timeout=30)
                        assert m is not None, 'no message'
                        if m['type'] != 'pong':
                            return m
                for protocol in 2, 3:
                    r = redis.Redis(unix_socket_path=sys.argv[1], protocol=protocol)
                    control = redis.Redis(unix_socket_path=sys.argv[2], protocol=protocol)
                    p = r.pubsub()
                    p.subscribe('events')
                    m = message(p)
                    assert (m['type'], m['channel'], m['data']) == ('subscribe', b'events', 1), m
                    control.execute_command('RELOAD')
                    m = message(p)
                    assert m['type'] == 'message' and m['channel'] == b'events', m
                    assert json.loads(m['data'])['event'] == 'reloaded', m
                    p.ping()
                    control.execute_command('RELOAD')
                    assert message(p)['type'] == 'message'
                    p.unsubscribe()
                    m = message(p)
                    assert (m['type'], m['data']) == ('unsubscribe', 0), m
                    p.close()
                    assert r.execute_command('CALL', 'ping', 'ping') == b'pong'
                print('done')
                """
            let run = try Tool.run(
                Self.python, "-I", "-c", script, daemon.runtime.messageSocket,
                daemon.runtime.controlSocket)
            #expect(run.output == "done\n", "\(run.error)")
        }
    }
}
