"""A connection to Redis or Valkey, for commands of streams: RESP 2, read by its grammar.

One command after the other; several that go together are written at once. It knows no command but
those that open a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from proxy.config.rates import parse_redis

LARGEST = 64 * 1024 * 1024  # bytes of a reply's text
DEEPEST = 8  # arrays in arrays
LIMIT = 1024 * 1024  # bytes that are read ahead

Word = bytes | str | int


class ReplyError(Exception):
    """The server refuses: "WRONGTYPE Operation against a key…"."""

    @property
    def kind(self) -> str:
        return str(self).partition(" ")[0]


class Resp:
    """Made by `connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self.is_broken = False

    @classmethod
    async def connect(cls, url: str) -> Resp:
        """Raises OSError, or ReplyError for a wrong password."""
        place, port, user, password, database = parse_redis(url)
        if port:
            made = cls(*await asyncio.open_connection(place, port, limit=LIMIT))
        else:
            made = cls(*await asyncio.open_unix_connection(place, limit=LIMIT))
        try:
            if password:
                await made.call("AUTH", *([user] if user else []), password)
            if database:
                await made.call("SELECT", database)
        except BaseException:
            made.close()
            raise
        return made

    async def call(self, *words: Word) -> Any:
        """The reply; raises ReplyError or OSError."""
        (reply,) = await self.calls([words])
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def calls(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies, ReplyError among them. Who is cancelled in between breaks the connection,
        whose next reply would be somebody else's."""
        async with self._turn:
            if self.is_broken:
                raise ConnectionResetError("the connection is broken")
            try:
                self._writer.write(b"".join(map(_written, commands)))
                await self._writer.drain()
                return [await self._reply(DEEPEST) for _ in commands]
            except asyncio.IncompleteReadError:
                self.is_broken = True
                raise ConnectionResetError("the server has closed the connection") from None
            except (ValueError, asyncio.LimitOverrunError) as error:
                self.is_broken = True
                raise ConnectionError(f"this is no RESP: {error}") from None
            except BaseException:
                self.is_broken = True
                raise

    def close(self) -> None:
        self.is_broken = True
        self._writer.close()

    async def _reply(self, depth: int) -> Any:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode("utf-8", "replace"))
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"$" and number <= LARGEST:
            return (await self._reader.readexactly(number + 2))[:-2]
        if kind == b"*" and depth:
            return [await self._reply(depth - 1) for _ in range(number)]
        raise ValueError(line[:40])


def _written(words: Sequence[Word]) -> bytes:
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        pieces += (b"$%d\r\n" % len(raw), raw, b"\r\n")
    return b"".join(pieces)
