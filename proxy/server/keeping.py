"""Sockets of slots whose worker is gone, served by this one until they have a successor.

The hub sends them as descriptors over a socket of their own, since the link's transport carries
bytes alone. One message is one order, carried out in their order.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Sequence
from typing import Protocol

from proxy.server.listener import Listener
from proxy.tasks import spawn

log = logging.getLogger("spangate")

MESSAGE = 128 * 1024  # bytes; an order names some listeners
DESCRIPTORS = 253  # of one message: SCM_MAX_FD


class Worker(Protocol):
    """Who serves them."""

    @property
    def draining(self) -> bool: ...

    async def listen(self, address: str, sock: socket.socket) -> Listener: ...

    def unlisten(self, listener: Listener) -> None: ...


class Keeping:
    """What one worker keeps for others, by their slot."""

    __slots__ = ("_kept", "_loans", "_turn", "_worker")

    def __init__(self, worker: Worker, loans: socket.socket) -> None:
        self._worker = worker
        self._loans = loans
        self._kept: dict[int, list[Listener]] = {}
        self._turn = asyncio.Lock()
        loans.setblocking(False)

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._loans, self._read)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._loans)
        self._loans.close()

    def _read(self) -> None:
        try:
            message, fds, _, _ = socket.recv_fds(self._loans, MESSAGE, DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        if not message:
            self.stop()  # the hub is gone, and the link tells what follows
            return
        spawn(self._obey(message, fds), "carry out an order about sockets")

    async def _obey(self, message: bytes, fds: Sequence[int]) -> None:
        what, slot, addresses = json.loads(message)
        async with self._turn:
            if what == "keep":
                await self._keep(slot, addresses, fds)
            else:
                for listener in self._kept.pop(slot, ()):
                    self._worker.unlisten(listener)

    async def _keep(self, slot: int, addresses: Sequence[str], fds: Sequence[int]) -> None:
        for address, fd in zip(addresses, fds, strict=False):
            listener = await self._worker.listen(address, socket.socket(fileno=fd))
            self._kept.setdefault(slot, []).append(listener)
            if self._worker.draining:  # it has left its other listeners already
                listener.stop()
