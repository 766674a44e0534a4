"""A worker whose timers run slower by SPANGATE_BENCH_STRETCH, as it does itself under valgrind.

Otherwise the timers of a worker that runs fifty times slower would fire fifty times as often for
each request, and their instructions would be counted as the request's.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from proxy.server.__main__ import main

STRETCH = float(os.environ.get("SPANGATE_BENCH_STRETCH", "40"))


class Patient(uvloop.Loop):
    """uvloop, with longer seconds."""

    def call_later(  # type: ignore[override]  # the typed star is not worth its cost here
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return super().call_later(delay * STRETCH, callback, *args, context=context)


if __name__ == "__main__":
    uvloop.new_event_loop = Patient
    sys.exit(main())
