"""A connection to a server of which nothing is known but that it takes bytes.

Many of them speak first (databases, mail), so what comes before a story is there is kept for it;
a connection of HTTP/1.1, which this is otherwise, would take that for a poisoned one.
"""

from __future__ import annotations

import asyncio

from proxy.errors import UpstreamReset
from proxy.server.h1_upstream import UpstreamConnection
from proxy.server.h1_upstream_states import CLOSED
from proxy.server.pool import Pool
from proxy.server.sides import StoryEvents


class StreamUpstream(UpstreamConnection):
    """One of them; it serves one story and is never lent again."""

    __slots__ = ("_shut_early",)

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._shut_early = False

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
            story.on_upstream_failed(UpstreamReset("the upstream closed the connection at once"))
        elif self._shut_early:
            super().eof_received()
        else:
            self._tap.let_go()

    def data_received(self, data: bytes) -> None:
        if self.story is None or self._buffer or self._tap.held:
            self._buffer += data
            self._tap.hold()
        else:
            super().data_received(data)

    def eof_received(self) -> bool:
        if self.story is None or self._buffer or self._tap.held:
            self._shut_early = True
            return True
        return super().eof_received()


class StreamPool(Pool):
    """Where such connections are counted; none of them is ever at hand."""

    __slots__ = ()

    def codec(self, alpn: str | None) -> UpstreamConnection:
        return StreamUpstream(self)
