"""The hub's end of the link to a process that it started: frames out, frames in.

It knows how frames are cut and nothing of what they mean, nor of processes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from proxy.frames import Frames, encode

# A unix stream socket blocks its writer at the sender's SO_SNDBUF; the kernel caps this at
# net.core.wmem_max (208 KiB by default, doubled).
BUFFER = 4 * 1024 * 1024


class Link(asyncio.Protocol):
    """`take(kind, items, payload)` gets each frame; `lost` is set when no byte will come."""

    def __init__(self, take: Callable[[int, int, bytes], None]) -> None:
        self.lost = asyncio.Event()
        self._take = take
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no common base

    def data_received(self, data: bytes) -> None:
        for kind, items, payload in self._frames.feed(data):
            self._take(kind, items, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost.set()

    def send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        """Queue a frame; one to a process that is gone is thrown away."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(kind, payload, items))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def pair() -> tuple[socket.socket, socket.socket]:
    """(hub's end, the other end) of a link, with the largest buffers that the kernel gives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    return ours, theirs


def loans() -> tuple[socket.socket, socket.socket]:
    """(hub's end, worker's end) of the way that descriptors go, message by message."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for sock in (ours, theirs):
        sock.setblocking(False)
    return ours, theirs
