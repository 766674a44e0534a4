"""How long an HTTP/2 connection from a client may last, and how it ends: by GOAWAY, in words.

Two steps where the gateway wants to go (RFC 9113 §6.8): the first says to begin nothing more, and
what is on its way is still served; the second, when a PING has come back or a second has passed,
says what was the last. Then whatever runs may finish.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import BadRequest
from proxy.http import h2
from proxy.http.h2 import Rules, Session
from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_goodbye import Unsent
from proxy.server.h2_client_stream import Carrier, ClientStream
from proxy.server.house import House

PING = b"spangate"
_GOAWAY_NS = 1_000_000_000  # from the first step to the second, if the PING is not answered


_GONE = Session(True, Rules())  # in the place of an engine that has nothing more to say
_GONE.terminate(h2.NO_ERROR)


class Departing(Carrier):
    """The part of a client's connection that watches deadlines and ends it (`h2_client.py`)."""

    __slots__ = (
        "_early", "_goaway", "_head_since", "_leaves", "_queued", "_since", "_streams", "_unsent",
        "_writable", "house", "session", "transport",
    )  # fmt: skip

    def __init__(self, house: House) -> None:
        self.house = house
        self.transport: Any = None
        limits = house.snapshot.limits
        self.session = Session(
            True,
            Rules(
                streams=limits.streams,
                head_bytes=limits.head_bytes,
                head_fields=limits.head_fields,
                connect_protocol=True,
            ),
        )
        self._streams: dict[int, ClientStream] = {}  # until they are closed
        self._early: list[ClientStream] = []  # answered before their requests were complete
        self._writable = True
        self._queued = False  # for a later turn
        self._goaway = 0  # when the first step was made; -1 = so was the second
        self._leaves = False  # all is said
        self._since = 0  # when it became idle
        self._head_since = 0  # since when the rest of a head is missing
        self._unsent = Unsent()

    def has_reset(self, code: int) -> None:
        self.house.h2.reset(code, "gateway")

    def abandon(self) -> None:
        """Nobody is left to answer."""
        streams, self._streams = self._streams, {}
        self._early = []  # streams hold the engine
        self.house.h2.open -= len(streams)
        for stream in streams.values():
            stream.closed(h2.CANCEL)

    # deadlines

    def idle_since(self) -> int:
        if self._leaves and self.transport.is_closing():
            return -1
        idle = not (self._streams or self._queued or self._leaves or self.session.in_head)
        return self._since if idle and self._writable and self._goaway == 0 else 0

    def tick(self, now: int) -> None:
        buffered = self.transport.get_write_buffer_size()
        if (self._leaves or not self._writable) and self._unsent.has_waited(buffered, now):
            self.transport.abort()
            return
        if self._leaves:
            self._look_up()
            return
        for stream in list(self._streams.values()):
            if not stream.tick(now) and self.session.reset(stream.number, h2.CANCEL):
                self.has_reset(h2.CANCEL)
                self.touch()
        if self._goaway > 0 and now - self._goaway > _GOAWAY_NS:
            self.goaway_for_good()
        elif self.session.in_head:
            self._check_head(now)
        else:
            self._head_since = 0
            if not self._streams:
                self._check_idle(now - self._since)

    def _look_up(self) -> None:
        """See whether the client has closed: what it still sent has stopped the reading."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _check_head(self, now: int) -> None:
        limit = self.house.snapshot.limits.header_timeout * 1e9
        if not self._head_since:
            self._head_since = now
        elif now - self._head_since > limit > 0:
            self.house.count_refused(BadRequest("the request head took too long", status=408))
            self.finish(h2.ENHANCE_YOUR_CALM, "header_timeout")

    def _check_idle(self, waited: int) -> None:
        keepalive = self.house.snapshot.limits.keepalive * 1e9
        if waited > keepalive > 0:
            self.finish(h2.NO_ERROR, "idle")
        elif self.house.is_closing_idle(waited) and self._goaway == 0:
            self.close_after()

    # the end

    def close_after(self) -> None:
        self._announce("draining")

    def retire(self) -> None:
        self._announce("connection_age")

    def _announce(self, reason: str) -> None:
        """The first step of a GOAWAY: what is on its way is still served."""
        if self._goaway or self._leaves or self.session.closed:
            return
        self._goaway = monotonic_ns()
        self.house.h2.goaway(reason)
        self.session.announce_goaway()
        self.session.ping(PING)
        self._watch()
        self.touch()

    def _watch(self) -> None:
        me: Any = self
        self.house.watch(me)

    def goaway_for_good(self) -> None:
        """The second step."""
        self._goaway = -1
        self.session.goaway()
        self.touch()

    def cut(self) -> None:
        for stream in list(self._streams.values()):
            if stream.story is not None:
                stream.story.on_shutdown()
        self.finish(h2.NO_ERROR, "shutdown")

    def finish(self, code: int, reason: str) -> None:
        """Say GOAWAY, with what else there is to say, and close."""
        self.house.h2.goaway(reason)
        self.push()
        self.session.goaway(code)
        self.push()
        self.abandon()
        self.hang_up(code)

    def hang_up(self, code: int) -> None:
        """Close so that the last bytes arrive: what came and was not read would be answered by a
        reset, which eats them; so the client has a second to close first. One that floods is told
        so and is not let go before: it would only come again."""
        if self._leaves:
            return
        self._leaves = True
        transport = self.transport
        if transport.is_closing():
            return
        last = self.session.take()
        if last:
            transport.write(last)
        self.session = _GONE
        self._unsent.start(monotonic_ns())
        self._watch()
        if code == h2.ENHANCE_YOUR_CALM:
            return
        if code == h2.NO_ERROR or self._queued or not transport.can_write_eof():
            transport.close()
        else:
            transport.write_eof()
