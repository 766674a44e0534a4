"""Stepping a coroutine: what comes out of it is an event's business, that it ended is not said.

A call of `coroutine.send` ends with a StopIteration when the coroutine has ended. Making and
catching that costs 1,500 instructions (`make bench-check`); compiled, C's own protocol says it, and
`send` raises nothing. To wait for an event costs 1,200 with a generator, and 250 compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import CoroutineType
from typing import Any

# `send(coroutine, value)`: run it to its next wait. It may say by StopIteration that it has ended.
# Without a frame of its own, as find_blank in ends.py.
send: Callable[[Any, Any], object] = CoroutineType.send


class Event:
    """What a coroutine awaits that is stepped: the await's value is what is sent to it."""

    __slots__ = ()

    def __await__(self) -> Generator[None, Any, Any]:
        return (yield)
