"""The only place that starts asyncio tasks: it keeps a reference and reports what failed.

The warm request path starts none; dialling, exporting and supervising do. What is long is done
`gently`: other work of the loop runs in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from time import perf_counter
from typing import Any, TypeVar

log = logging.getLogger("spangate")

SLICE = 0.003  # seconds that long work keeps the loop at once

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Run `coroutine` in the background; an exception in it is logged with `name`."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_done)
    return task


async def cancel(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended; None and finished ones are fine."""
    alive = [t for t in tasks if t is not None and not t.done()]
    for task in alive:
        task.cancel()
    await asyncio.gather(*alive, return_exceptions=True)


async def gently(items: Iterable[T], seconds: float = SLICE) -> AsyncIterator[T]:
    """`items` one by one, with a pause for other work of the loop after every `seconds`."""
    end = perf_counter() + seconds
    for item in items:
        yield item
        if perf_counter() >= end:
            await asyncio.sleep(0)
            end = perf_counter() + seconds


class Regularly:
    """Calls `do` every so many seconds while it is wanted; what it raises is logged.

    Each pause is twenty times as long as the call took, if that is more.
    """

    def __init__(self, do: Callable[[], object], every: float, name: str) -> None:
        self._do = do
        self._every = every
        self._name = name
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self, wanted: bool) -> None:
        """Begin, or end."""
        if not wanted and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif wanted and self._timer is None:
            self._wait(self._every)

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._call)

    def _call(self) -> None:
        began = perf_counter()
        try:
            self._do()
        except Exception:
            log.exception("%s failed", self._name)
        if self._timer is not None:
            self._wait(max(self._every, 20 * (perf_counter() - began)))


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task %s failed", task.get_name(), exc_info=error)
