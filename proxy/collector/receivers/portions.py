"""Portions: a large request's batches, handed on one in each turn of the loop.

What is taken is not given back. So when there is no room for a portion that is not the first one,
it waits for room; a sender who is refused all the same will bring twice what was taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from proxy.collector.batch import Batch
from proxy.collector.stage import Outlet
from proxy.otlp.refusal import OVERLOADED, Refusal
from proxy.otlp.turns import Turns

PATIENCE = 5.0  # seconds for room behind the first portion
AGAIN = 0.05  # seconds between two offers


async def hand_on(outlet: Outlet, turns: Turns, portions: Iterable[Batch]) -> None:
    """Raises Refusal when there is no room, and WireError for bytes that are no request."""
    end = asyncio.get_running_loop().time() + PATIENCE
    for number, batch in enumerate(portions):
        await turns.gap()
        while not outlet.consume(batch):
            if not number or asyncio.get_running_loop().time() > end:
                raise Refusal(OVERLOADED)
            await asyncio.sleep(AGAIN)
