"""A listener: one listening socket of a worker, whose word counts on it, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

from proxy.config import model
from proxy.server.tls_keyring import Shown
from proxy.tasks import spawn
from proxy.tracing.trust import Networks

Accept = Callable[[], asyncio.Protocol]

_AGAIN = 0.1  # seconds
_BACKLOG = 4096


class Listener:
    """Wraps a socket that the hub made and keeps open."""

    __slots__ = (
        "_accept", "_begins", "_server", "_wanted", "address", "is_paused", "name", "proxied",
        "socket", "tls", "trusted",
    )  # fmt: skip

    def __init__(self, address: str, sock: socket.socket) -> None:
        self.address = address
        self.name = ""
        self.proxied = False  # a PROXY header comes first
        self.socket = sock
        self.trusted: Callable[[str], bool] = lambda peer: False
        self.tls: Shown | None = None  # what connections that come now are shown
        self._accept: Accept | None = None
        self._server: asyncio.Server | None = None
        self._wanted = True  # False = paused
        self._begins = False  # it is on its way to accept again
        self.is_paused = False

    def trust(self, config: model.Config) -> None:
        """Believe whom `config` says, from the next connection on."""
        found = [listener for listener in config.listen if listener.address == self.address]
        listener = found[0] if found else model.Listener(address=self.address)
        cidrs = config.tracing.trust if listener.trust is None else listener.trust
        self.trusted = Networks(cidrs).holds
        self.name, self.proxied = listener.name, listener.proxy_protocol

    async def start(self, accept: Accept) -> None:
        """Serve each connection with the protocol that `accept` makes."""
        self._accept = accept
        loop = asyncio.get_running_loop()
        sock = self.socket.dup()  # which it closes
        if sock.family == socket.AF_UNIX:
            self._server = await _unix_server(loop, accept, sock)
        else:
            self._server = await loop.create_server(accept, sock=sock, backlog=_BACKLOG)

    def pause(self) -> None:
        """Leave who comes in the kernel's queue."""
        self._wanted = False
        self._leave()

    def resume(self) -> None:
        """The opposite."""
        self._wanted = True
        if self._server is None and not self._begins and self._accept is not None:
            self._begins = True
            spawn(self._start_again(self._accept), "accept again")

    def stop(self) -> None:
        """Accept no more, but serve who is in the queue already: the kernel would reset them."""
        if self._accept is None or self.socket.fileno() < 0:
            return
        self.pause()
        try:
            while True:
                connection, _ = self.socket.accept()
                spawn(self._adopt(connection), "adopt a queued connection")
        except OSError:
            self.socket.close()  # BlockingIOError: the queue is empty

    def close(self) -> None:
        self.pause()
        self.socket.close()

    def _leave(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _start_again(self, accept: Accept) -> None:
        try:
            await self.start(accept)
        except OSError:  # the descriptor is gone again
            asyncio.get_running_loop().call_later(_AGAIN, self._try_again)
        finally:
            self._begins = False
        if not self._wanted:  # it was paused meanwhile
            self._leave()

    def _try_again(self) -> None:
        if self._wanted:
            self.resume()

    async def _adopt(self, connection: socket.socket) -> None:
        accept = self._accept
        assert accept is not None
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(accept, connection)


def trusted_by(config: model.Config) -> tuple[object, ...]:
    """All that says who is believed, to be compared."""
    listeners = {x.address: (x.trust, x.proxy_protocol, x.name) for x in config.listen}
    return listeners, config.tracing.trust, config.forwarding.trust


async def _unix_server(
    loop: asyncio.AbstractEventLoop, accept: Accept, sock: socket.socket
) -> asyncio.Server:
    """One that leaves the file alone, which is the hub's, and other workers listen on it."""
    make: Any = loop.create_unix_server
    if sys.version_info >= (3, 13):
        try:
            made = await make(accept, sock=sock, backlog=_BACKLOG, cleanup_socket=False)
        except TypeError:  # a loop that never removes it
            made = await make(accept, sock=sock, backlog=_BACKLOG)
    else:
        made = await make(accept, sock=sock, backlog=_BACKLOG)
    server: asyncio.Server = made
    return server
