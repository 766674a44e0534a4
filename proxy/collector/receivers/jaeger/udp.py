"""The UDP side of the Jaeger receiver: one datagram is one agent message.

Owns the socket. Nobody is answered: what is wrong, or finds no room, is counted.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any

from proxy import tasks
from proxy.collector.receivers.translated import Translated
from proxy.web import ports

_MOST_WAITING = 4 * 1024 * 1024  # bytes; more than the kernel keeps by default


class UdpServer:
    """One socket."""

    def __init__(
        self, address: tuple[str, int], translated: Translated, largest: int, buffer: int
    ) -> None:
        """`largest` bytes in a datagram; `buffer` bytes in the kernel, 0 = its default."""
        self._address = address
        self._translated = translated
        self._largest = largest
        self._buffer = buffer
        self._transport: asyncio.DatagramTransport | None = None
        self.port = address[1]

    async def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        host, port = self._address
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._translated, self._largest),
            local_addr=(host or "0.0.0.0", port),
            reuse_port=ports.share(host or "0.0.0.0", port, socket.SOCK_DGRAM),
        )
        ports.prefer([self._transport.get_extra_info("socket")])
        if self._buffer:
            raw: Any = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        self.port = self._transport.get_extra_info("sockname")[1]

    async def stop(self, deadline: float) -> None:
        """What the kernel still holds is lost, as always with UDP."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            await asyncio.sleep(0)  # the socket is closed by a callback


class _Datagrams(asyncio.DatagramProtocol):
    """The loop brings many in one turn; those that the turn has no room for wait for the next."""

    def __init__(self, translated: Translated, largest: int) -> None:
        self._translated = translated
        self._largest = largest
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of those that wait
        self._pushing: asyncio.Task[None] | None = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if len(data) > self._largest:
            self._translated.reject(f"a packet of {len(data)} bytes")
        elif self._size + len(data) > _MOST_WAITING:
            self._translated.reject("no room for another packet")
        elif self._waiting or self._translated.turns.is_spent():
            self._waiting.append(data)
            self._size += len(data)
            if self._pushing is None:
                self._pushing = tasks.spawn(self._push(), "jaeger packets")
        else:
            self._translated.push(data)

    async def _push(self) -> None:
        while self._waiting:
            await self._translated.turns.gap()
            data = self._waiting.popleft()
            self._size -= len(data)
            self._translated.push(data)
        self._pushing = None
