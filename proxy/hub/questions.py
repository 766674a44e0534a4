"""Questions of the admin port that a collector answers: numbered, and joined from their pieces.

Each belongs to one process of the collector: when that ends, whoever waits is told to come again,
and whoever watches is told nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

from proxy.collector import frames
from proxy.hub.link import Link
from proxy.recent.tap import Filter

Tell = Callable[[Sequence[str], int], None]  # lines of JSON, and how many were left out
Answered = tuple[int, str, bytes]  # status, content type, body

PATIENCE = 25.0  # seconds
AGAIN = (503, "application/json", b'{"error":"the collector is being replaced; try again"}')
LATE = (503, "application/json", b'{"error":"the collector has not answered in time"}')


class Watching:
    """One who watches, for longer than a process of the collector may live."""

    __slots__ = ("_end", "_query", "_tell")

    def __init__(self, query: str, tell: Tell) -> None:
        """Raises ValueError for a filter that cannot be understood."""
        Filter(parse_qs(query, keep_blank_values=True, max_num_fields=64))
        self._query = query
        self._tell = tell
        self._end: Callable[[], None] | None = None

    def begin(self, questions: Questions) -> None:
        """Watch by way of that process from now on."""
        self._end = questions.tap(self._query, self._tell)

    def end(self) -> None:
        if self._end is not None:
            self._end()


class Questions:
    """Those of one process; `link` leads to it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._number = 0
        self._asked: dict[int, tuple[asyncio.Future[Answered], list[bytes]]] = {}
        self._taps: dict[int, Tell] = {}

    async def ask(self, target: str, accept: str) -> Answered:
        self._number += 1
        number = self._number
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._asked[number] = future, []
        self._link.send(frames.ASK, frames.encode((target, accept)), items=number)
        try:
            return await asyncio.wait_for(future, PATIENCE)
        except TimeoutError:
            return LATE
        finally:
            self._asked.pop(number, None)

    def tap(self, query: str, tell: Tell) -> Callable[[], None]:
        """Have requests told from now on; what is returned ends it."""
        self._number += 1
        number = self._number
        self._taps[number] = tell
        self._link.send(frames.TAP, query.encode(), items=number)
        return lambda: self._untap(number)

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """A frame of the process: ANSWER or TAPPED."""
        if kind == frames.TAPPED:
            if (tell := self._taps.get(number)) is not None:
                tell(*frames.decode_tapped(payload))
            return
        asked = self._asked.get(number)
        if asked is None:
            return
        future, pieces = asked
        answer = frames.decode_answer(payload)
        pieces.append(answer.body)
        if answer.is_last and not future.done():
            future.set_result((answer.status, answer.content_type, b"".join(pieces)))

    def end(self) -> None:
        """The process is gone."""
        for future, _ in self._asked.values():
            if not future.done():
                future.set_result(AGAIN)
        self._taps.clear()

    def _untap(self, number: int) -> None:
        if self._taps.pop(number, None) is not None:
            self._link.send(frames.UNTAP, items=number)
