"""A peer that misbehaves, for `check`: python3 peer.py SOCKET KIND

Serves connections one after the other, reads lines (or, with a KIND that begins with `resp`, RESP
calls), and answers as KIND says. Ends when it is told to by a signal.
"""

import socket
import sys
import time


def replies(kind, data):
    """What goes out for `data`, a run of whole lines: (bytes, seconds to wait after) in turn."""
    lines = data.splitlines(keepends=True)
    match kind:
        case "dribble":  # every byte for itself
            return [(bytes([byte]), 0) for byte in data]
        case "halves":  # each write ends in the middle of a line
            return [(data[:7], 0.01), (data[7:], 0)]
        case "pong":
            return [(b"pong\n" * len(lines), 0)]
        case "lose":
            return [(b"".join(lines[:5] + lines[6:]), 0)]
        case "repeat":
            return [(b"".join(lines[:5] + lines[4:]), 0)]
        case "swap":
            return [(b"".join(lines[1::-1] + lines[2:]), 0)]
        case "corrupt":
            return [(data[:40] + b"!" + data[41:], 0)]
        case "refuse":
            return [(b"-BUSY the mailbox is full: send less\n" * len(lines), 0)]
        case "extra":
            return [(data + b"more\n", 0)]
        case "silent":
            return []
        case "resp":
            calls = data.split(b"*3\r\n$4\r\nCALL\r\n$4\r\nping\r\n")
            return [(b"".join(calls), 0)]
        case "resp-error":
            return [(b"-NOSERVICE there is no service ping: see baton status\r\n", 0)]
        case "close":
            return [(lines[0], 0), (None, 0)]
    raise SystemExit(f"peer.py: no such kind: {kind}")


def serve(connection, kind):
    waiting = b""
    while True:
        data = connection.recv(65536)
        if not data:
            if kind == "linger":
                time.sleep(30)
            if kind == "late":
                connection.sendall(b"0000000000000000\n")
            return
        waiting += data
        end = waiting.rfind(b"\n") + 1
        whole, waiting = waiting[:end], waiting[end:]
        if not whole:
            continue
        if kind in ("linger", "late"):
            connection.sendall(whole)
            continue
        for part, pause in replies(kind, whole):
            if part is None:
                return
            connection.sendall(part)
            time.sleep(pause)


def main():
    path, kind = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                serve(connection, kind)
            except (BrokenPipeError, ConnectionResetError):
                pass


main()
