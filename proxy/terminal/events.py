"""Server-sent events out of bytes, however these are cut (HTML standard, section 9.2.6).

What is longer than a bound is passed by: the other end need not be ours.
"""

from __future__ import annotations

from typing import NamedTuple

MOST = 1024 * 1024  # bytes of one line, and of one event's data


class Event(NamedTuple):
    """`kind` is "message" where the stream names none."""

    kind: str
    data: str


class Events:
    """Collects bytes and gives whole events."""

    __slots__ = ("_data", "_kind", "_rest", "_size", "_too_long")

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False  # the line that has begun is passed by
        self._kind = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, received: bytes) -> list[Event]:
        """The events that these bytes complete. Lines end with LF or CRLF, as our gateway's do."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        found = [event for line in lines if (event := self._take(line)) is not None]
        if len(self._rest) > MOST:
            self._rest, self._too_long = b"", True
        return found

    def _take(self, line: bytes) -> Event | None:
        if self._too_long:
            self._too_long = False
            return None
        if line in (b"", b"\r"):
            return self._end()
        name, _, value = line.rstrip(b"\r").partition(b":")
        text = value.removeprefix(b" ").decode(errors="replace")
        if name == b"event":
            self._kind = text
        elif name == b"data":
            self._size += len(text)
            if self._size <= MOST:
                self._data.append(text)
        return None

    def _end(self) -> Event | None:
        made = Event(self._kind or "message", "\n".join(self._data)) if self._data else None
        self._kind, self._data, self._size = "", [], 0
        return made
