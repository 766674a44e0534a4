"""Workers of the demo that began as plain Python are replaced once everything is compiled.

The first `make run` of a checkout does not wait for the compiler. It says by SPANGATE_COMPILED
which file will be there when the compiled modules are. A worker that gets TERM finishes what it
has, and the hub starts another in its place, which finds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.plain import WHY_PLAIN

LOOK = 0.5  # seconds between two looks
TIMEOUT = 5.0  # seconds that the admin port may take

Worker = dict[str, Any]  # as /stats shows it


async def follow(admin: str, show: Callable[[str], None]) -> None:
    """Wait for the file, if there will be one, and replace the workers of the gateway at `admin`,
    the URL of its admin port, one after the other."""
    awaited = os.environ.get("SPANGATE_COMPILED", "")
    if not awaited or not admin or not WHY_PLAIN:
        return
    while not await asyncio.to_thread(Path(awaited).exists):
        await asyncio.sleep(LOOK)
    with contextlib.suppress(OSError):  # the gateway has ended, and nobody needs its workers
        for worker in await _workers(admin):
            os.kill(worker["pid"], signal.SIGTERM)
            while not is_replaced(worker, await _workers(admin)):
                await asyncio.sleep(LOOK)
        show("Compiled: from here on the workers run compiled modules.")


def is_replaced(worker: Worker, present: list[Worker]) -> bool:
    """Whether another one accepts connections in its slot."""
    return any(
        one["slot"] == worker["slot"] and one["pid"] != worker["pid"] and one["state"] == "ready"
        for one in present
    )


async def _workers(admin: str) -> list[Worker]:
    def ask() -> list[Worker]:
        with urllib.request.urlopen(f"{admin}/stats", timeout=TIMEOUT) as answer:
            workers: list[Worker] = json.load(answer)["workers"]
            return workers

    return await asyncio.to_thread(ask)
