"""Rows of the table of RFC 9113 §3 to §8, and what a server makes of them.

    python -m tests.server.h2_rows PORT ...     prints what servers on these ports answer

Each row is bytes behind the client's preface. What comes of it is one of "goaway CODE", "reset
CODE" (of a stream), "closed" (without a word), "ignored", or "200" (the last request was
answered); a connection error counts before a stream error, and that before an answer.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from proxy.http.h2 import PREFACE
from tests.http.h2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    POST,
    PRIORITISED,
    PRIORITY,
    PUSH,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
)
from tests.server.h2_kit import Frames, by_hand

NO, PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION, CALM = 0, 1, 3, 5, 6, 7, 9, 11
START = PREFACE + frame(SETTINGS, 0, 0)
BLOCK, BODY_BLOCK = literal(GET), literal(POST)


def get(stream: int = 1, flags: int = END_HEADERS | END_STREAM, block: bytes = BLOCK) -> bytes:
    return frame(HEADERS, flags, stream, block)


def post(stream: int = 1) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, BODY_BLOCK)


def setting(number: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, number.to_bytes(2) + value.to_bytes(4))


def window(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4))


@dataclass(frozen=True)
class Row:
    """What is sent, and which outcomes the RFC allows."""

    section: str
    what: str
    data: bytes
    outcomes: tuple[str, ...]
    start: bytes = START

    @property
    def id(self) -> str:
        return f"{self.section} {self.what}"


def dies(section: str, what: str, data: bytes, *codes: int, start: bytes = START) -> Row:
    """A connection error with one of these codes; the connection may also just end."""
    return Row(section, what, data, (*[f"goaway {code}" for code in codes], "closed"), start)


def resets(section: str, what: str, data: bytes, *codes: int) -> Row:
    """A stream error, which a server may treat as one of the connection (§5.4.2)."""
    said = [f"{kind} {code}" for kind in ("reset", "goaway") for code in codes]
    return Row(section, what, data, (*said, "closed"))


def ignores(section: str, what: str, data: bytes) -> Row:
    """An error, or nothing comes of it: libnghttp2 takes frames of streams that have been for late
    ones (§5.1 allows it), and priorities for what they are since RFC 9113, nothing."""
    errors = [f"{kind} {code}" for kind in ("goaway", "reset") for code in (PROTOCOL, CLOSED)]
    return Row(section, what, data, (*errors, "closed", "ignored"))


def serves(section: str, what: str, data: bytes) -> Row:
    return Row(section, what, data, ("200",))


_PADDING = bytes([5]) + BLOCK + bytes(5)
_FIRST = get(1, END_STREAM, BLOCK[:10])
_FIELD = literal([(b"a", b"b")])
_THREE = frame(DATA, END_STREAM, 1, b"abc")
_PING = frame(PING, 0, 0, bytes(8))
_EMPTY = frame(CONTINUATION, 0, 1)
_REST = frame(CONTINUATION, END_HEADERS, 1, BLOCK[10:])

ROWS = (
    # the preface
    dies("3.4", "an invalid preface", b"", PROTOCOL, start=b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
    dies("3.4", "no SETTINGS first", get(), PROTOCOL, start=PREFACE),
    serves("3.4", "requests right behind", get()),
    # frames
    serves("4.1", "an unknown type", frame(0x7F, 0xFF, 0, b"abc") + get()),
    serves("4.1", "unknown flags", frame(PING, 0xFE, 0, bytes(8)) + get()),
    serves("4.1", "the reserved bit", get(1 | 1 << 31)),
    dies("4.2", "DATA that is too large", post() + frame(DATA, 1, 1, bytes(16385)), SIZE),
    dies("4.2", "HEADERS that are too large", get(1, 5, bytes(16385)), SIZE),
    dies("4.3", "a block that cannot be decoded", get(1, 5, b"\xff\xff\xff\xff\xff"), COMPRESSION),
    dies("4.3", "an index that is not there", get(1, 5, b"\xbf\x80\x01"), COMPRESSION),
    serves("4.3", "a block in two pieces", _FIRST + _REST),
    serves("4.3", "a block in three pieces, one of them empty", _FIRST + _EMPTY + _REST),
    dies("4.3", "another frame within a block", _FIRST + _PING + _REST, PROTOCOL),
    dies("4.3", "another stream's HEADERS within it", _FIRST + get(3), PROTOCOL),
    # states
    dies("5.1", "DATA on an idle stream", frame(DATA, END_STREAM, 1, b"a"), PROTOCOL),
    dies("5.1", "RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, bytes(4)), PROTOCOL),
    dies("5.1", "WINDOW_UPDATE on an idle stream", window(1, 1), PROTOCOL),
    dies("5.1", "CONTINUATION on an idle stream", frame(CONTINUATION, 4, 1, BLOCK), PROTOCOL),
    resets("5.1", "DATA when half-closed", get() + frame(DATA, 1, 1, b"a"), CLOSED, PROTOCOL),
    resets("5.1", "HEADERS when half-closed", get() + get(), CLOSED, PROTOCOL),
    serves("5.1", "WINDOW_UPDATE when half-closed", get() + window(1, 1)),
    serves("5.1", "PRIORITY on any stream", frame(PRIORITY, 0, 9, b"\0\0\0\0\1") + get(11)),
    ignores("5.1", "DATA after a reset", post() + frame(RST_STREAM, 0, 1, bytes(4)) + _THREE),
    dies("5.1.1", "an even stream", get(2), PROTOCOL),
    dies("5.1.1", "stream 0", get(0), PROTOCOL),
    ignores("5.1.1", "a lower stream", get(5) + get(3)),
    serves("5.1.1", "streams may be left out", get(7)),
    # each frame
    dies("6.1", "DATA on stream 0", frame(DATA, 0, 0, b"a"), PROTOCOL),
    dies("6.1", "padding beyond DATA", post() + frame(DATA, PADDED | 1, 1, b"\x05abc"), PROTOCOL),
    serves("6.1", "padded DATA", post() + frame(DATA, PADDED | 1, 1, b"\2abc\0\0")),
    dies("6.2", "padding beyond HEADERS", get(1, 13, b"\xff" + BLOCK), PROTOCOL),
    serves("6.2", "padded HEADERS", get(1, PADDED | 5, _PADDING)),
    serves("6.2", "HEADERS with priority", get(1, PRIORITISED | 5, b"\0\0\0\0\x10" + BLOCK)),
    resets("6.3", "PRIORITY of 4 bytes", post() + frame(PRIORITY, 0, 1, bytes(4)), SIZE),
    ignores("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5))),
    dies("6.4", "RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL),
    dies("6.4", "RST_STREAM of 3 bytes", post() + frame(RST_STREAM, 0, 1, bytes(3)), SIZE),
    dies("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1), PROTOCOL),
    dies("6.5", "SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, bytes(5)), SIZE),
    dies("6.5", "an acknowledgement with content", frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
    serves("6.5.2", "an unknown setting", setting(0x99, 7) + get()),
    dies("6.5.2", "ENABLE_PUSH of 2", setting(2, 2), PROTOCOL),
    dies("6.5.2", "a window of 2^31", setting(4, 1 << 31), FLOW),
    dies("6.5.2", "frames below 16 KiB", setting(5, 16383), PROTOCOL),
    dies("6.5.2", "frames of 2^24", setting(5, 1 << 24), PROTOCOL),
    dies("6.6", "PUSH_PROMISE", frame(PUSH, 4, 1, b"\0\0\0\2" + BLOCK), PROTOCOL),
    dies("6.7", "PING of 7 bytes", frame(PING, 0, 0, bytes(7)), SIZE),
    dies("6.7", "PING on a stream", frame(PING, 0, 1, bytes(8)), PROTOCOL),
    dies("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    dies("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    dies("6.9", "a window by 0", window(0, 0), PROTOCOL),
    resets("6.9", "a stream's window by 0", post() + window(1, 0), PROTOCOL),
    dies("6.9.1", "a window beyond 2^31", window(0, 0x7FFFFFFF) + window(0, 1), FLOW),
    resets("6.9.1", "a stream's beyond 2^31", post() + window(1, 0x7FFFFFFF), FLOW),
    dies(
        "6.9.1", "more DATA than the window",
        post() + b"".join([frame(DATA, 0, 1, bytes(16384)) for _ in range(70)]), FLOW,
    ),
    serves("6.9.2", "a window of 0, then more", setting(4, 0) + get() + setting(4, 65535)),
    dies("6.10", "CONTINUATION on stream 0", frame(CONTINUATION, 4, 0), PROTOCOL),
    dies("6.10", "CONTINUATION behind the end", get() + _REST, PROTOCOL, CLOSED),
    dies("6.10", "CONTINUATION of another stream", _FIRST + frame(CONTINUATION, 4, 3), PROTOCOL),
    # HTTP
    resets("8.1", "trailers without END_STREAM", post() + get(1, 4, _FIELD), PROTOCOL),
    resets("8.1", "pseudo-header fields in trailers", post() + get(1), PROTOCOL),
    resets("8.2.1", "an upper-case name", get(1, 5, literal([*GET, (b"A", b"b")])), PROTOCOL),
    resets("8.2.2", "Connection", get(1, 5, literal([*GET, (b"connection", b"a")])), PROTOCOL),
    resets("8.3", "a late pseudo-header field", get(1, 5, literal([(b"a", b"b"), *GET])), PROTOCOL),
    resets("8.3", "an unknown one", get(1, 5, literal([(b":a", b"b"), *GET])), PROTOCOL),
    resets("8.3.1", "no path", get(1, 5, literal(GET[:3])), PROTOCOL),
    resets("8.3.1", "an empty path", get(1, 5, literal([*GET[:3], (b":path", b"")])), PROTOCOL),
    resets(
        "8.1.1", "less body than Content-Length",
        get(1, 4, literal([*POST, (b"content-length", b"5")])) + _THREE, PROTOCOL,
    ),
    resets(
        "8.1.1", "more body than Content-Length",
        get(1, 4, literal([*POST, (b"content-length", b"2")])) + _THREE, PROTOCOL,
    ),
)  # fmt: skip


def judged(client: Frames, stream: int) -> str:
    """What has come of it until now; "" = nothing yet."""
    found = ""
    for kind, _, number, payload in client.frames:
        if kind == GOAWAY:
            return f"goaway {int.from_bytes(payload[4:8])}"
        if kind == RST_STREAM and number:
            found = f"reset {int.from_bytes(payload)}"
        elif kind == HEADERS and number == stream and not found:
            found = "200" if payload[:1] == b"\x88" else "another status"
    return found or ("closed" if client.lost else "")


def last_stream(data: bytes) -> int:
    """The stream of the last HEADERS in `data`."""
    found, at = 0, 0
    while at + 9 <= len(data):
        if data[at + 3] == HEADERS:
            found = int.from_bytes(data[at + 5 : at + 9]) & 0x7FFFFFFF
        at += 9 + int.from_bytes(data[at : at + 3])
    return found


async def outcome(port: int, row: Row) -> str:
    """Send it, and see what is said until the server has read all of it."""
    client = await by_hand(port, preface=row.start + row.data + frame(PING, 0, 0, b"the last"))
    stream = last_stream(row.data)
    may_be_ignored = "ignored" in row.outcomes

    def is_over() -> bool:
        told = judged(client, stream)
        read = (PING, ACK, 0, b"the last") in client.frames
        return client.lost or told.startswith("goaway") or (read and bool(told or may_be_ignored))

    await client.until(is_over)
    client.transport.abort()
    return judged(client, stream) or "ignored"


async def _print(ports: list[int]) -> None:
    for row in ROWS:
        told = []
        for port in ports:
            try:
                told.append(await asyncio.wait_for(outcome(port, row), 5))
            except TimeoutError:
                told.append("silence")
        print(f"| {row.section} | {row.what} | {' | '.join(told)} |")


if __name__ == "__main__":
    asyncio.run(_print([int(port) for port in sys.argv[1:]]))
