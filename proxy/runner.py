"""How each of our processes runs: its event loop, and where its log goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run `main` on uvloop, or on asyncio's own loop where there is none."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def log_to_stderr() -> None:
    """Unless somebody has said already where the log goes."""
    log = logging.getLogger("spangate")
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s spangate %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
