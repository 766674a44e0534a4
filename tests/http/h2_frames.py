"""Frames of HTTP/2 by hand (RFC 9113 §4.1, §6), and two sessions that talk in memory."""

from __future__ import annotations

from proxy.http.h2 import Event, Rules, Session

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x1, 0x4, 0x8, 0x20

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
POST = [(b":method", b"POST"), *GET[1:]]
OK = [(b":status", b"200")]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3)
        + bytes([kind, flags])
        + (stream & 0xFFFFFFFF).to_bytes(4)
        + payload
    )


def literal(fields: list[tuple[bytes, bytes]], kind: bytes = b"\0") -> bytes:
    """A header block without compression and without indexing (RFC 7541 §6.2.2); `kind` b"\\x10":
    which nobody may index."""
    return b"".join([kind + _string(name) + _string(value) for name, value in fields])


def _string(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    found, size = b"\x7f", size - 127
    while size >= 128:
        found += bytes([size % 128 + 128])
        size //= 128
    return found + bytes([size]) + text


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) of each whole frame in `data`."""
    found, at = [], 0
    while at + 9 <= len(data):
        size = int.from_bytes(data[at : at + 3])
        stream = int.from_bytes(data[at + 5 : at + 9]) & 0x7FFFFFFF
        found.append((data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


class Pair:
    """A client's session and a server's; `run` carries bytes until neither has any."""

    def __init__(self, rules: Rules | None = None, client: Rules | None = None) -> None:
        self.client = Session(False, client or Rules())
        self.server = Session(True, rules or Rules())
        self.at_client: list[Event] = []
        self.at_server: list[Event] = []
        self.run()
        self.at_client.clear()
        self.at_server.clear()

    def run(self, now: int = 1) -> None:
        carried = True
        while carried:
            up, down = self.client.take(), self.server.take()
            self.at_server += feed(self.server, up, now)
            self.at_client += feed(self.client, down, now)
            carried = bool(up or down)

    def ask(self, fields: list[tuple[bytes, bytes]], end: bool = True) -> int:
        stream = self.client.send_request(fields, end)
        self.run()
        return stream


def feed(session: Session, data: bytes, now: int = 1) -> list[Event]:
    """All that `data` means, slice after slice."""
    found = session.receive(data, now)
    while session.waiting:
        found += session.receive(b"", now)
    return found
