"""The admin port: its socket, and who answers there.

Probes and scrapers are answered by `quick.py`; with the first request of another kind the `Site`
is loaded, and aiohttp with it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from proxy.admin.hosts import Hosts
from proxy.admin.pieces import Turns
from proxy.admin.quick import Quick, Terms
from proxy.admin.view import Hand, View
from proxy.config.model import Admin as AdminSettings
from proxy.web.connection import Front, Guards, Line
from proxy.web.server import GuardedServer, Later

if TYPE_CHECKING:
    from proxy.admin.site import Site
    from proxy.web.inner import Handler

# An operator and some scrapers; the rest of the descriptors is for supervision.
GUARDS = Guards(connections=64)
GRACE = 1.0  # seconds that an answer gets when the port closes


class Admin:
    """Serves one View on one socket."""

    __slots__ = ("_hand", "_host", "_server", "_settings", "_site", "_terms", "_turns", "hosts")

    def __init__(
        self, view: View, listen_host: str, guards: Guards = GUARDS, hand: Hand | None = None
    ) -> None:
        self._hand = hand
        self._host = listen_host
        self._settings = AdminSettings()
        self._site: Site | None = None
        self._turns = Turns()
        self.hosts = Hosts(listen_host)
        self._terms = Terms(view, self.hosts, self._turns)
        self._server = GuardedServer(Later(self._make), guards, self._front)

    def configure(self, settings: AdminSettings) -> None:
        """Guard it by these from now on."""
        self._settings = settings
        self.hosts.configure(settings.hosts)
        if self._site is not None:
            self._site.gate.configure(settings.token, settings.ui)

    async def start(self, sock: socket.socket) -> None:
        """Answer on `sock`, which is bound and listening."""
        await self._server.start(sock)

    async def stop(self) -> None:
        await self._server.stop(GRACE)

    def _front(self, line: Line) -> Front:
        return Quick(self._terms, line)

    def _make(self) -> Handler:
        """In a thread."""
        from proxy.admin.site import Site

        site = Site(self._terms.view, self.hosts, self._host, self._hand, self._turns)
        self._site = site  # first: from now on it is told of changes
        known = None
        while known is not self._settings:  # and one may come while it is told of the last one
            known = self._settings
            site.gate.configure(known.token, known.ui)
        return site.handle
