"""Warm connections to one endpoint, newest first: the oldest go cold together and are closed.

Bytes that come on an idle connection end it. A HEAD is answered without a body, and some servers
send one all the same, later; so a connection on which one was announced rests before it is lent
again, and where that has happened once it is not used again at all.
"""

from __future__ import annotations

import logging
import random
from typing import Any

from proxy.server.h1_upstream import Home, UpstreamConnection
from proxy.server.outbox import Outbox
from proxy.server.sides import UpstreamSide
from proxy.server.tls_keyring import ClientContext
from proxy.server.turns import Turns
from proxy.telemetry.metrics import Registry
from proxy.upstream.endpoint import Endpoint

_REST = 500_000_000  # ns; a body that follows its head does so at once or after some work
_NEVER = (1 << 63) - 1  # ns, monotonic
_JITTER = 0.1  # of the greatest age, so that what was dialled together is not dialled anew together

log = logging.getLogger("spangate")


class Pool(Home):
    """The idle connections of one worker to one address; lives as long as the worker."""

    __slots__ = (
        "_dials",
        "_fresh",
        "_idle",
        "_max_age",
        "_open",
        "_resting",
        "_talks",
        "_told",
        "bounds",
        "counted",
        "host",
        "idle_limit",
        "idle_ns",
        "opened",
        "place",
        "port",
        "registry",
        "reused",
        "scheme",
        "send_proxy",
        "session",
        "source",
        "tls",
        "upstream",
    )

    def __init__(
        self, endpoint: Endpoint, outbox: Outbox, turns: Turns, registry: Registry | None = None
    ) -> None:
        self.outbox = outbox  # of the worker, as turns
        self.turns = turns
        self.scheme = endpoint.scheme
        self.host = endpoint.host
        self.port = endpoint.port
        self.source = endpoint.source
        self.place = f"{self.host}:{self.port}" if self.port else f"unix:{self.host}"
        self.send_proxy = ""  # "v1", "v2": each connection tells of one client, and serves only it
        self.idle_limit = 10_000
        self.idle_ns = 4_000_000_000
        self._max_age = 0  # ns; 0 = none
        self._idle: dict[UpstreamConnection, None] = {}  # a stack that can forget any in O(1)
        self._resting: dict[UpstreamConnection, None] = {}
        self._talks = False  # bodies came after answers to HEAD
        self._open: set[UpstreamConnection] = set()
        self._dials: set[Any] = set()  # that go on
        self._fresh: set[Any] = set()  # of those that are open: whose dial goes on
        self._told = 0  # connections that `bounds` know of
        self.opened = 0  # made since the start
        self.counted = 0  # of these, in the metrics already
        self.upstream = endpoint.upstream  # whose settings it has
        self.reused = 0  # times that a warm one was used
        self.registry = registry  # where handshakes are counted
        self.tls: ClientContext | None = None  # by which connections are made
        self.session: Any = None  # of TLS, which the next connection resumes
        self.bounds: Any = None  # of the upstream, which count connections, if it has any

    def __repr__(self) -> str:
        return f"<Pool {self.place} {self.open} open, {self.idle} idle>"

    @property
    def open(self) -> int:
        """Connections that exist, idle ones included."""
        return len(self._open)

    @property
    def idle(self) -> int:
        return len(self._idle) + len(self._resting)

    def take(self, careful: bool) -> UpstreamSide | None:
        """The connection used last, which is the side of one exchange, or None. `careful`: none
        on which something waits to be read, which is its end, because what is sent on it could
        not be sent again. (Other bytes end it when they are read, in the loop's next turn.)"""
        idle = self._idle
        while idle:
            connection = idle.popitem()[0]
            if careful and connection.has_input():
                connection.close()
                continue
            self.reused += 1
            return connection
        return None

    def at_hand(self) -> UpstreamSide | None:
        """One that was given back while another could not be made."""
        return self.take(True)

    def codec(self, alpn: str | None) -> Any:
        """Who speaks on a new connection; `alpn`: what TLS agreed on, None without TLS.

        Raises UpstreamError where it is nothing that is wanted.
        """
        return UpstreamConnection(self)

    def unmade(self, codec: Any) -> None:
        """The connection for this codec could not be made."""
        self.forget(codec)

    def give(self, connection: UpstreamConnection, now: int) -> bool:
        """Take back a connection on which a whole exchange ended well; False if it is one too
        many, or old enough, and must be closed."""
        if len(self._idle) >= self.idle_limit or now >= connection.old:
            return False
        connection.idle_since = now
        self._idle[connection] = None
        return True

    def rest(self, connection: UpstreamConnection, now: int) -> bool:
        """The same where bytes may come that are not the next answer."""
        if self._talks or not self.give(connection, now):
            return False
        del self._idle[connection]
        self._resting[connection] = None
        return True

    def know(self, connection: UpstreamConnection, now: int) -> None:
        """A connection has been made."""
        self._open.add(connection)
        if self._dials:
            self._fresh.add(connection)
        self._tell()
        self.opened += 1
        connection.old = self._old(now)

    def bound(self, bounds: Any) -> None:
        """Who counts from now on, those that there are included; None = nobody does."""
        if bounds is not self.bounds:
            if self.bounds is not None:
                self.bounds.connected(-self._told)
            self.bounds, self._told = bounds, 0
            self._tell()

    def makes(self, dial: Any) -> None:
        """A connection is being made, which counts as one until `made` is told the same."""
        self._dials.add(dial)
        self._tell()

    def made(self, dial: Any, connection: Any) -> None:
        """It has been, or could not be: None. May be said more than once."""
        self._dials.discard(dial)
        self._fresh.discard(connection)
        self._tell()

    def _all(self) -> int:
        """Open or being made; what is both is one."""
        return self.open - len(self._fresh) + len(self._dials)

    def _tell(self) -> None:
        if self.bounds is not None:
            now = self._all()
            self.bounds.connected(now - self._told)
            self._told = now

    def tell_of_clients(self, version: str) -> None:
        """By a PROXY header of "v1" or "v2" in front of each connection, or "off"."""
        version = "" if version == "off" else version
        if version and not self.send_proxy:
            self.close()  # those that wait have none
        self.send_proxy = version

    def set_max_age(self, limit: int, now: int) -> None:
        """In ns, 0 = none; connections that there are count from now on, if it is another."""
        if limit != self._max_age:
            self._max_age = limit
            for connection in self._open:
                if connection.old:  # else it is for one exchange alone
                    connection.old = self._old(now)

    def _old(self, now: int) -> int:
        age = self._max_age
        return now + int(age * (1 - _JITTER * random.random())) if age else _NEVER

    def secure(self, tls: ClientContext | None) -> None:
        """Make connections by `tls`; those that were made otherwise are not used again."""
        if tls is self.tls or self.scheme != "https":
            return
        self.tls = tls
        self.session = None
        for connection in self._open:
            connection.old = 0
        self.expire(0)

    def keep_session(self, tls: ClientContext, session: Any) -> None:
        """What the server offers to resume; the newest one counts, as older ones expire first."""
        if tls is self.tls:  # no other context can use it
            self.session = session

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection has ended, idle or not; may be said more than once."""
        self._open.discard(connection)
        self._fresh.discard(connection)
        self._tell()
        self._idle.pop(connection, None)
        self._resting.pop(connection, None)

    def mistrust(self, connection: UpstreamConnection) -> None:
        """Bytes came that nobody had asked for."""
        if connection in self._resting and not self._talks:
            self._talks = True
            text = "upstream %s: %s sends bodies after its answers to HEAD; connections on which"
            text += " it answered one are not used again"
            log.warning(text, self.upstream, self.place, extra={"key": "upstream.talks_after_head"})

    def expire(self, now: int) -> None:
        """Close what has been idle for too long or is too old, and end rests."""
        for connection in [c for c in self._resting if now - c.idle_since >= _REST]:
            del self._resting[connection]
            self._idle[connection] = None
        if not self._idle:
            return
        limit = self.idle_ns
        for connection in [c for c in self._idle if now >= c.old or c.has_waited(now, limit)]:
            del self._idle[connection]
            connection.close()

    def drop(self) -> bool:
        """Close the connection that has been idle longest; False if there is none."""
        for connection in self._idle:
            self.forget(connection)
            connection.close()
            return True
        return False

    def close(self) -> None:
        """Close all idle connections, and those that are busy when they are given back."""
        self.idle_limit = 0
        idle = [*self._idle, *self._resting]
        self._idle.clear()
        self._resting.clear()
        for connection in idle:
            connection.close()
