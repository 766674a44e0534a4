"""Shared connections to one endpoint, whose streams are lent one by one.

Where none has room the story waits, here and not in the engine, and a connection is made: one for
as many stories as it will have streams, so that a hundred that come at once share one, and not
each its own. An endpoint that turns out to speak HTTP/1.1 (by ALPN) is used as any other
(`pool.py`), each story with a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.errors import BadResponse, ConnectReset, ConnectTimeout, ProxyError
from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.h2_books import name_of
from proxy.server.h2_upstream import BEFORE_SETTINGS, H2Upstream
from proxy.server.house import House
from proxy.server.pool import Pool
from proxy.server.sides import StoryEvents, UpstreamSide
from proxy.server.tls_keyring import ClientContext
from proxy.upstream.endpoint import Endpoint

MOST_LINES = 256  # connections at once, for each worker and endpoint; beyond it stories wait
_LONGEST = 120_000_000_000  # ns that a story waits where the configuration says "no limit"
H2, H1 = "h2", "http/1.1"  # ALPN (RFC 7301)

Dial = Callable[["SharedPool", float, float], None]


class Waiting:
    """A story that waits for a stream; it is told once, unless it has lost interest."""

    __slots__ = ("_pool", "handshake", "story", "timeout", "until")

    def __init__(
        self, pool: SharedPool, story: StoryEvents, timeout: float, handshake: float
    ) -> None:
        self._pool = pool
        self.story = story
        self.timeout = timeout  # seconds, 0 = the longest
        self.handshake = handshake  # seconds of these for TLS, 0 = all
        self.until = monotonic_ns() + (int(timeout * 1e9) or _LONGEST)

    def forget(self) -> None:
        self._pool.give_up(self)


class SharedPool(Pool):
    """The connections of one worker to one address that speaks HTTP/2, or may.

    `dial(pool, timeout, handshake)` begins to make a connection, which ends in one of `dialled` and
    `not_dialled`. `must`: no HTTP/1.1 will do.
    """

    def __init__(self, endpoint: Endpoint, house: House, dial: Dial, must: bool) -> None:
        super().__init__(endpoint, house.outbox, house.turns, house.recorder.registry)
        self.must = must
        self._resets: dict[tuple[str, str], int] = {}  # by whom and why, not counted yet
        self._dial = dial
        self._dialling = 0
        self._lines: dict[H2Upstream, None] = {}  # all that are open
        self._free: dict[H2Upstream, None] = {}  # of these, those that may have room
        self._waiting: dict[Waiting, None] = {}
        self._each = BEFORE_SETTINGS  # streams that a connection is expected to have
        self._gone = False  # the endpoint is, from the configuration

    def __repr__(self) -> str:
        return (
            f"<SharedPool {self.host}:{self.port} {self.open} open, {self.idle} idle,"
            f" {self.streams} streams, {len(self._waiting)} waiting>"
        )

    @property
    def open(self) -> int:
        return len(self._open) + len(self._lines)

    @property
    def idle(self) -> int:
        lines = sum([1 for line in self._lines if not line.active])
        return len(self._idle) + len(self._resting) + lines

    @property
    def streams(self) -> int:
        """Exchanges that are under way."""
        return sum([line.active for line in self._lines])

    def count_reset(self, by: str, code: int) -> None:
        """An exchange was given up, `by` the gateway or the upstream."""
        key = (by, name_of(code))
        self._resets[key] = self._resets.get(key, 0) + 1

    def take_resets(self) -> dict[tuple[str, str], int]:
        """How many exchanges were given up since it was asked last, by (by whom, why)."""
        found, self._resets = self._resets, {}
        return found

    # lending

    def take(self, careful: bool) -> UpstreamSide | None:
        """A stream of the connection that was free first: the others become idle and are closed.
        `careful` makes no difference: what waits to be read on a connection that is used is no
        sign of its end, and an upstream that ends it tells what it has not processed."""
        while self._free:
            line = next(iter(self._free))
            if line.has_room():
                self.reused += 1
                return line.lend(True)
            del self._free[line]
        return Pool.take(self, careful)

    def at_hand(self) -> UpstreamSide | None:
        return Pool.take(self, True)

    def want(self, story: StoryEvents, timeout: float, handshake: float = 0.0) -> Waiting:
        """Lend `story` the next stream that there is; `timeout` in seconds, 0 = the longest."""
        waiting = Waiting(self, story, timeout, handshake)
        self._waiting[waiting] = None
        self._dial_more()
        return waiting

    def give(self, connection: UpstreamConnection, now: int) -> bool:
        return not self.must and Pool.give(self, connection, now)

    def give_up(self, waiting: Waiting) -> None:
        """Its story is over."""
        self._waiting.pop(waiting, None)

    def _dial_more(self) -> None:
        """One connection for so many stories as it will serve."""
        if not self._each and self._lines:
            return  # it takes none for now, and would on others take none
        each = max(self._each, 1)
        first = next(iter(self._waiting), None)
        timeout, handshake = (first.timeout, first.handshake) if first is not None else (0.0, 0.0)
        while self._dialling * each < len(self._waiting) and self._may_dial():
            self._dialling += 1
            self._dial(self, timeout, handshake)

    def _may_dial(self) -> bool:
        if self.open + self._dialling >= MOST_LINES:
            return False
        return self.bounds is None or not self.may_serve() or self.bounds.may_connect()

    def _serve(self, line: H2Upstream, used: bool) -> None:
        waiting = self._waiting
        while waiting and line.has_room():
            first = next(iter(waiting))
            del waiting[first]
            first.story.on_connected(line.lend(used))

    # connections

    def codec(self, alpn: str | None) -> Any:
        """Who speaks on a new connection; `alpn`: what TLS agreed on, None without TLS.

        Raises BadResponse (502) where it is not what must be.
        """
        if alpn == H2 or (alpn is None and self.must):
            return H2Upstream(self, self.scheme)
        if self.must:
            raise BadResponse("the upstream speaks HTTP/1.1, not HTTP/2: it did not agree on h2")
        return UpstreamConnection(self)

    def unmade(self, codec: Any) -> None:
        if isinstance(codec, UpstreamConnection):
            self.forget(codec)

    def dialled(self, connection: Any) -> None:
        """A connection has been made."""
        self._dialling -= 1
        if isinstance(connection, H2Upstream):
            self._join(connection)
        else:
            self._each = 1  # and so will the next ones
            self._hand_over(connection)
        self._dial_more()

    def not_dialled(self, error: ProxyError) -> None:
        """None could be made. Who waits is told, unless another may still come, or a stream."""
        self._dialling -= 1
        if not self.may_serve():
            self._fail_all(error)

    def may_serve(self) -> bool:
        """Whether a stream may come of what there is, or is being made."""
        return self._dialling > 0 or any(not line.draining for line in self._lines)

    def _join(self, line: H2Upstream) -> None:
        if line.closed or line.draining:
            if not self.may_serve():
                self._fail_all(ConnectReset("the connection ended as soon as it was made"))
            return
        self.opened += 1
        line.old = self._old(monotonic_ns())
        line.expect(self._each)
        self._lines[line] = None
        self._tell()
        self._free[line] = None
        self._serve(line, False)
        if self._gone:
            line.retire()

    def _hand_over(self, connection: UpstreamConnection) -> None:
        waiting = self._waiting
        if not waiting:
            if not self.give(connection, monotonic_ns()):
                connection.close()
            return
        first = next(iter(waiting))
        del waiting[first]
        first.story.on_connected(connection)

    def _fail_all(self, error: ProxyError) -> None:
        failed, self._waiting = self._waiting, {}
        for waiting in failed:
            waiting.story.on_connect_failed(error)

    def said(self, line: H2Upstream) -> None:
        """The upstream has said how many streams it takes."""
        self._each = line.limit
        self.room(line)

    def room(self, line: H2Upstream) -> None:
        """A stream may be free on `line`."""
        if line in self._lines and line.has_room():
            self._free[line] = None
            if self._waiting:
                self._serve(line, True)

    def leave(self, line: H2Upstream) -> None:
        """It lends no more."""
        self._free.pop(line, None)

    def forget_line(self, line: H2Upstream) -> None:
        """It has ended."""
        self._free.pop(line, None)
        self._lines.pop(line, None)
        self._tell()
        if self._waiting and not self.may_serve():
            self._dial_more()

    # age

    def set_max_age(self, limit: int, now: int) -> None:
        if limit != self._max_age:
            super().set_max_age(limit, now)
            for line in self._lines:
                line.old = self._old(now)

    def secure(self, tls: ClientContext | None) -> None:
        if tls is not self.tls and self.scheme == "https":
            for line in self._lines:
                line.old = 0
        super().secure(tls)

    def expire(self, now: int) -> None:
        super().expire(now)
        for line in list(self._lines):
            line.tick(now, self.idle_ns)
        for waiting in [w for w in self._waiting if now >= w.until]:
            del self._waiting[waiting]
            error = ConnectTimeout(f"{self.host}:{self.port}: no connection with room in time")
            waiting.story.on_connect_failed(error)

    def drop(self) -> bool:
        for line in self._lines:
            if not line.active and not line.draining:
                line.retire()
                return True
        return super().drop()

    def close(self) -> None:
        super().close()
        self._gone = True
        for line in list(self._lines):
            line.retire()
