"""The only place that starts asyncio tasks: it keeps a reference and reports what failed.

The warm request path starts none; dialling, exporting and supervising do. What is long is done
`gently`: other work of the loop runs in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable
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


def _done(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error(
            "background task %s failed",
            task.get_name(),
            exc_info=error,
            extra={"key": "task.failed"},
        )
