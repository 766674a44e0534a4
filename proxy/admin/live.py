"""Live: requests as server-sent events, to whoever can keep up.

What a viewer has not read waits for it, up to MOST_WAITING requests; what is more is left out, and
it is told how many. Nobody else waits for it: one who reads nothing at all is cut off by the
port's guard, as is any answer that nobody reads.

Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence

from aiohttp import web

TYPE = "text/event-stream"
MOST_WAITING = 1000
LOOK = 0.5  # seconds after which it is looked whether the viewer is still there
BEAT = 15.0  # seconds between two comments, so that everybody knows that the other is there
_COUNTED = 1 << 53


class Line:
    """What one viewer has not read."""

    __slots__ = ("_came", "_limit", "_lines", "_missed", "_number")

    def __init__(self, limit: int = 0) -> None:
        """`limit`: requests after which it is over; 0 = none."""
        self._limit = limit
        self._lines: deque[str] = deque()
        self._missed = 0
        self._number = 0
        self._came = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has been told of as many as it wanted."""
        return bool(self._limit) and self._number >= self._limit

    def tell(self, lines: Sequence[str], missed: int) -> None:
        """More requests, each a line of JSON, and how many were left out before."""
        room = MOST_WAITING - len(self._lines)
        self._lines.extend(lines[:room])
        self._missed += missed + max(0, len(lines) - room)
        self._came.set()

    async def next(self) -> bytes:
        """What is there, when there is something; b"" after LOOK seconds without."""
        try:
            await asyncio.wait_for(self._came.wait(), LOOK)
        except TimeoutError:
            return b""
        self._came.clear()
        pieces = []
        if self._missed:
            pieces.append(f'event: dropped\ndata: {{"count":{min(self._missed, _COUNTED)}}}\n\n')
            self._missed = 0
        while self._lines and not self.is_over:
            self._number += 1
            pieces.append(f"event: request\nid: {self._number}\ndata: {self._lines.popleft()}\n\n")
        return "".join(pieces).encode()


async def send(
    request: web.BaseRequest, headers: Mapping[str, str], line: Line
) -> web.StreamResponse:
    """Until the viewer leaves, or has what it wanted."""
    response = web.StreamResponse(
        headers={**headers, "Content-Type": TYPE, "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    await response.write(b": requests follow\n\n")
    silent = 0.0
    while not line.is_over and request.transport is not None and not request.transport.is_closing():
        told = await line.next()
        silent = 0.0 if told else silent + LOOK
        if silent >= BEAT:
            told, silent = b": nothing yet\n\n", 0.0
        if told:
            await response.write(told)
    return response
