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


async def follow(admin: str, show: Callable[[str], None]) -> None:
    """Wait for the file, if there will be one, and replace the workers of the gateway at `admin`,
    the URL of its admin port, one after the other."""
    awaited = os.environ.get("SPANGATE_COMPILED", "")
    if not awaited or not admin or not WHY_PLAIN:
        return
    while not await asyncio.to_thread(Path(awaited).exists):
        await asyncio.sleep(LOOK)
    with contextlib.suppress(OSError):  # the gateway has ended, and nobody needs its workers
        for pid in await _workers(admin):
            os.kill(pid, signal.SIGTERM)
            while pid in await _workers(admin) or not await _is_whole(admin):
                await asyncio.sleep(LOOK)
        show("Compiled: from here on the workers run compiled modules.")


async def _workers(admin: str) -> list[int]:
    """Processes of workers that accept connections."""
    return [one["pid"] for one in await _stats(admin) if one["state"] == "ready"]


async def _is_whole(admin: str) -> bool:
    """Whether each slot has a worker that accepts connections."""
    stats = await _stats(admin)
    return {one["slot"] for one in stats} == {o["slot"] for o in stats if o["state"] == "ready"}


async def _stats(admin: str) -> list[dict[str, Any]]:
    def ask() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{admin}/stats", timeout=TIMEOUT) as answer:
            workers: list[dict[str, Any]] = json.load(answer)["workers"]
            return workers

    return await asyncio.to_thread(ask)
