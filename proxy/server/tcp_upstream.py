"""A connection to a server of which nothing is known but that it takes bytes.

Many of them speak first (databases, mail), so what comes before a story is there is kept for it;
a connection of HTTP/1.1, which this is otherwise, would take that for a poisoned one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.errors import ProxyError, UpstreamReset
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.h1_upstream_states import CLOSED
from proxy.server.pool import Pool
from proxy.server.sides import StoryEvents


class StreamUpstream(UpstreamConnection):
    """One of them; it serves one story and is never lent again."""

    __slots__ = ("_failure", "_listens", "_shut_early")

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._shut_early = False
        self._failure: ProxyError | None = None  # it was never a connection
        self._listens: Any = None  # a Stage (`mesh_stage.py`), which wants to know who speaks first

    def listen(self, stage: Any) -> None:
        """Tell `stage` when something comes, or the connection ends, before a story is there; None
        = tell nobody."""
        self._listens = stage
        if stage is not None and self._state == CLOSED:
            stage.on_gone()
        elif stage is not None and self._buffer:
            stage.on_spoken(self._buffer)

    def drop(self) -> None:
        """Close it, nobody having used it. A sidecar at the other end must not take that for the
        end of what a client has said, so with TLS there is no goodbye."""
        self._listens = None
        tls = self.transport.get_extra_info("tls")
        if tls is not None:
            tls.say_no_goodbye()
        self.close()

    def carry(self, story: StoryEvents) -> None:
        """Bytes both ways from now on; what has come already is told in the loop's next turn."""
        is_gone = self._state == CLOSED
        self.story = story
        self.open_tunnel()
        asyncio.get_running_loop().call_soon(self._tell_early, is_gone)

    def _tell_early(self, is_gone: bool) -> None:
        story, data = self.story, self._buffer
        self._buffer = b""
        if story is None:
            return  # it has ended meanwhile
        if data:
            story.on_data(data, False)
        if is_gone:
            self._state = CLOSED
            self.story = None
            closed = UpstreamReset("the upstream closed the connection at once")
            story.on_upstream_failed(self._failure or closed)
        elif self._shut_early:
            super().eof_received()
        else:
            self._tap.let_go()

    def data_received(self, data: bytes) -> None:
        if self.story is None or self._buffer or self._tap.held:
            self._buffer += data
            self._tap.hold()
            if self._listens is not None:
                self._listens.on_spoken(self._buffer)
        else:
            super().data_received(data)

    def eof_received(self) -> bool:
        if was_cut(self.transport):
            return False  # which is told when the connection is closed
        if self.story is None or self._buffer or self._tap.held:
            self._shut_early = True
            if self._listens is not None and not self._buffer:
                self._listens.on_gone()
                return False
            return True
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._failure = error if isinstance(error, ProxyError) else None
        super().connection_lost(error)
        if self._listens is None:
            return
        if self._failure is not None:
            self._listens.on_connect_failed(self._failure)
        else:
            self._listens.on_gone()


def was_cut(transport: Any) -> bool:
    """Whether the other end of a connection with TLS has gone without its goodbye: that is no
    half-close, as anybody between may have done it."""
    tls = transport.get_extra_info("tls")
    return tls is not None and bool(tls.is_ragged())


class StreamPool(Pool):
    """Where such connections are counted; none of them is ever at hand."""

    __slots__ = ()

    def codec(self, alpn: str | None) -> UpstreamConnection:
        return StreamUpstream(self)
