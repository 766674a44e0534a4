"""Warm connections to one endpoint, newest first: the oldest go cold together and are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.server.h1_upstream import UpstreamConnection
    from proxy.server.outbox import Outbox


class Pool:
    """The idle connections of one worker to one address; lives as long as the worker."""

    __slots__ = (
        "_idle",
        "_open",
        "counted",
        "host",
        "idle_limit",
        "idle_ns",
        "opened",
        "outbox",
        "port",
        "reused",
        "upstream",
    )

    def __init__(self, host: str, port: int, outbox: Outbox) -> None:
        self.outbox = outbox  # of the worker
        self.host = host
        self.port = port
        self.idle_limit = 128
        self.idle_ns = 4_000_000_000
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self.opened = 0  # made since the start
        self.counted = 0  # of these, in the metrics already
        self.upstream = ""  # whose settings it has
        self.reused = 0  # times that a warm one was used

    def __repr__(self) -> str:
        return f"<Pool {self.host}:{self.port} {self.open} open, {len(self._idle)} idle>"

    @property
    def open(self) -> int:
        """Connections that exist, idle ones included."""
        return len(self._open)

    @property
    def idle(self) -> int:
        return len(self._idle)

    def take(self, careful: bool) -> UpstreamConnection | None:
        """The connection used last, or None. `careful`: none whose end waits to be read, because
        what is sent on it could not be sent again."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if careful and connection.has_ended():
                connection.close()
                continue
            self.reused += 1
            return connection
        return None

    def give(self, connection: UpstreamConnection, now: int) -> None:
        """Take back a connection on which a whole exchange ended well."""
        if len(self._idle) >= self.idle_limit or connection.idle_ns(self.idle_ns) <= 0:
            connection.close()
            return
        connection.idle_since = now
        self._idle.append(connection)

    def know(self, connection: UpstreamConnection) -> None:
        """A connection has been made."""
        self._open.add(connection)
        self.opened += 1

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection has ended, idle or not; may be said more than once."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def expire(self, now: int) -> None:
        """Close what has been idle for too long."""
        cold = [c for c in self._idle if now - c.idle_since >= c.idle_ns(self.idle_ns)]
        for connection in cold:
            self._idle.remove(connection)
            connection.close()

    def close(self) -> None:
        """Close all idle connections, and those that are busy when they are given back."""
        self.idle_limit = 0
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
