"""Work that does not fit into one turn of the event loop, served fairly.

A connection that has more to do than its share (pipelined requests, floods of tiny chunks) waits
here. All of them together get a few milliseconds of each turn, one slice each in their order, so
that a hundred of them delay another client no more than one does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic_ns
from typing import Any, Protocol

log = logging.getLogger("spangate")

_SHARE = 1_000_000  # ns of a turn
_MOST = 200  # slices of a turn: what a close costs comes after it, in the loop's own time


class Busy(Protocol):
    """Whoever has more to do."""

    @property
    def transport(self) -> Any:
        """It is aborted if a slice fails."""

    def go_on(self) -> None:
        """Do a slice of it, and come again if that was not all."""


class Turns:
    """The queue of one worker."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Busy] = deque()

    def add(self, busy: Busy) -> None:
        """Give `busy` its next slice in another turn; it must not wait here already."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._serve)
        self._waiting.append(busy)

    def _serve(self) -> None:
        end = monotonic_ns() + _SHARE
        for _ in range(min(len(self._waiting), _MOST)):
            busy = self._waiting[0]  # it stays until it is done, so that `add` schedules once
            try:
                busy.go_on()
            except Exception:
                log.exception(
                    "a connection failed inside the gateway", extra={"key": "connection.bug"}
                )
                busy.transport.abort()
            self._waiting.popleft()
            if monotonic_ns() > end:
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._serve)
