"""Guard: around what others wrote, a transport, a stage, a library, so that its mistakes cost a
batch at most and never a task.

    with Guard(condition, "traces") as guard:
        outcome = await transport.send(…)
    if guard.error is not None: …

What is expected is caught where it is understood; this is for what nobody had thought of. It is
told with its traceback and counted; what becomes of the batch is for the caller to say, whose books
have to balance. A task that is cancelled ends as it should; a library that says "cancelled" for a
reason of its own is no such case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from proxy import tasks
from proxy.collector.condition import Condition

REASON = "internal_error"  # in the books
TRIES = 3  # of what fails like that: a request may be what does it, and would do it for ever
PAUSE = 1.0  # seconds until a loop that failed goes on


class Guard:
    """`error` is what was caught; exceptions of the kind `lets` were agreed on and pass."""

    __slots__ = ("_condition", "_lets", "_signal", "error")

    def __init__(
        self, condition: Condition, signal: str = "", lets: type[Exception] | tuple[()] = ()
    ) -> None:
        self._condition = condition
        self._signal = signal
        self._lets = lets
        self.error: Exception | None = None

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, self._lets):
            return False
        if isinstance(error, asyncio.CancelledError) and not _is_cancelled():
            error = RuntimeError("cancelled from within")
        if not isinstance(error, Exception):
            return False
        self.error = error
        self._condition.surprise(error, self._signal)
        return True


def keep(run: Callable[[], Awaitable[None]], condition: Condition, name: str) -> asyncio.Task[None]:
    """A background task that does `run`, and again when it failed, until it returns."""
    return tasks.spawn(_kept(run, condition), name)


async def _kept(run: Callable[[], Awaitable[None]], condition: Condition) -> None:
    while True:
        with Guard(condition) as guard:
            await run()
        if guard.error is None:
            return
        await asyncio.sleep(PAUSE)


def _is_cancelled() -> bool:
    """Whether somebody wants this very task to end."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in a thread
        return False
    return task is None or task.cancelling() > 0
