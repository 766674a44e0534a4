"""A listener: one listening socket of a worker, whose word counts on it, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from proxy.config import model
from proxy.tasks import spawn
from proxy.tracing.trust import Networks

Accept = Callable[[], asyncio.Protocol]


class Listener:
    """Wraps a socket that the hub made and keeps open."""

    __slots__ = ("_accept", "_server", "address", "socket", "trusted")

    def __init__(self, address: str, sock: socket.socket) -> None:
        self.address = address
        self.socket = sock
        self.trusted: Callable[[str], bool] = lambda peer: False
        self._accept: Accept | None = None
        self._server: asyncio.Server | None = None

    def trust(self, config: model.Config) -> None:
        """Believe whom `config` says, from the next connection on."""
        found = [listener for listener in config.listen if listener.address == self.address]
        listener = found[0] if found else model.Listener(address=self.address)
        cidrs = config.tracing.trust if listener.trust is None else listener.trust
        self.trusted = Networks(cidrs).holds

    async def start(self, accept: Accept) -> None:
        """Serve each connection with the protocol that `accept` makes."""
        self._accept = accept
        self._server = await asyncio.get_running_loop().create_server(
            accept, sock=self.socket, backlog=4096
        )

    def pause(self) -> None:
        """Leave who comes in the kernel's queue."""
        if self._server is not None:
            queue = self.socket.dup()  # closing the server takes its socket along
            self.close()
            self.socket = queue

    def resume(self) -> None:
        """The opposite."""
        if self._server is None and self._accept is not None:
            spawn(self.start(self._accept), "accept again")

    def stop(self) -> None:
        """Accept no more, but serve who is in the queue already: the kernel would reset them."""
        if self._accept is None:
            return
        with self.socket.dup() as queue:  # as above
            self.close()
            try:
                while True:
                    connection, _ = queue.accept()
                    spawn(self._adopt(connection), "adopt a queued connection")
            except OSError:
                return  # BlockingIOError: the queue is empty

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _adopt(self, connection: socket.socket) -> None:
        accept = self._accept
        assert accept is not None
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(accept, connection)
