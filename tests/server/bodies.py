"""Large bodies: made in pieces, taken in pieces, compared by their digests."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

MIB = 1024 * 1024
HUGE = 64 * MIB
PIECE = bytes(i * 31 % 256 for i in range(256 * 1024 - 7))  # no power of two


def pieces() -> list[bytes]:
    """64 MiB in uneven pieces."""
    whole = [PIECE] * (HUGE // len(PIECE))
    return [*whole, bytes(HUGE - len(PIECE) * len(whole))]


SHA = hashlib.sha256(b"".join(pieces())).hexdigest()

FRAMINGS = {
    "length": (f"Content-Length: {HUGE}", lambda p: p, b""),
    "chunked": (
        "Transfer-Encoding: chunked",
        lambda p: b"%x\r\n%b\r\n" % (len(p), p),
        b"0\r\n\r\n",
    ),
    "close": ("X-Until: close", lambda p: p, b""),
}


async def emit(writer: asyncio.StreamWriter, wrap: Callable[[bytes], bytes], end: bytes) -> None:
    for piece in pieces():
        writer.write(wrap(piece))
        await writer.drain()
    writer.write(end)
    await writer.drain()


async def digest(stream: AsyncIterator[bytes]) -> tuple[str, int]:
    found, size = hashlib.sha256(), 0
    async for piece in stream:
        found.update(piece)
        size += len(piece)
    return found.hexdigest(), size


async def plainly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size and (data := await reader.read(min(size, MIB))):
        size -= len(data)
        yield data


async def in_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        async for piece in plainly(reader, size):
            yield piece
        await reader.readexactly(2)
    await reader.readexactly(2)


def body_of(reader: asyncio.StreamReader, head: bytes, size: int) -> AsyncIterator[bytes]:
    return in_chunks(reader) if b"chunked" in head.lower() else plainly(reader, size)
