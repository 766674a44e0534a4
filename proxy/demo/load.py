"""Steady requests of a demo, for pages that move, and a terminal that does not.

Requests leave by the clock, whatever becomes of those before them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from proxy.demo.services import ENDLESS, LOST, UNLUCKY
from proxy.tasks import cancel, spawn

MOST = 1000.0  # requests a second; services in plain Python do not take more
UNDER_WAY = 64  # at once: what comes on top is left out, so that nothing piles up

# Of twenty requests; the others are ordinary.
_SPECIAL = {
    4: f"/shop/orders/{UNLUCKY}", 9: "/shop/stock/42", 14: f"/shop/orders/{UNLUCKY}",
    16: f"/shop/orders/{LOST}", 19: f"/shop/orders/{ENDLESS}",
}  # fmt: skip
_TREE = re.compile(r"(?:\x1b\[\d+m)?trace [0-9a-f]{32}  (\d+) spans? ")


def path(number: int) -> str:
    """What the request of that number asks for: most are in order, of twenty two are tried again,
    one fails, one is cut off and one loses its trace."""
    return _SPECIAL.get(number % 20) or f"/shop/orders/{100 + number % 900}"


async def run(gateway: str, rate: float) -> None:
    """Ask `gateway`, a URL, `rate` times a second until cancelled."""
    loop = asyncio.get_running_loop()
    asked: set[asyncio.Task[None]] = set()
    connector = TCPConnector(force_close=True)  # as services.py has it, and for its reason
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=10)) as client:
        began = loop.time()
        try:
            for number in itertools.count():
                await asyncio.sleep(began + number / rate - loop.time())
                if len(asked) < UNDER_WAY:
                    task = spawn(_ask(client, gateway + path(number)), "ask for the load")
                    asked.add(task)
                    task.add_done_callback(asked.discard)
        finally:
            for task in list(asked):
                await cancel(task)


async def _ask(client: ClientSession, url: str) -> None:
    with contextlib.suppress(ClientError, TimeoutError):  # the pages tell what became of it
        async with client.get(url) as response:
            await response.read()


class WithoutTrees:
    """Passes lines on to `show`, without those of traces: some thirty a second would push
    everything else off the terminal."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._left = 0  # lines of the tree that is passed over
        self._empty = False  # whether an empty line waits for what follows: one is before each tree

    def __call__(self, line: str) -> None:
        if found := _TREE.match(line):
            self._left, self._empty = int(found[1]), False
        elif self._left:
            self._left -= 1
        elif not line:
            self._empty = True
        else:
            if self._empty:
                self._show("")
                self._empty = False
            self._show(line)
