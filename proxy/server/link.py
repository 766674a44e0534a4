"""The worker's end of the link: numbers up, configuration down. Records go through the ring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proxy.server import frames


class Link(asyncio.Protocol):
    """`take(kind, items, payload)` is called for each frame from the hub, `lost()` at its end."""

    def __init__(self, take: Callable[[int, int, bytes], None], lost: Callable[[], None]) -> None:
        self._take = take
        self._lost = lost
        self._frames = frames.Frames()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, items, payload in self._frames.feed(data):
            self._take(kind, items, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def send(self, kind: int, payload: bytes = b"", items: int = 0) -> None:
        """A frame that must arrive."""
        if self._transport is not None:
            self._transport.write(frames.encode(kind, payload, items))

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
