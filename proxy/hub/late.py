"""What a hub imports when its workers run: it must not take their cores while they start."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from typing import TYPE_CHECKING

from proxy.config.model import Config
from proxy.hub.parts import Collector
from proxy.hub.rings import Rings

if TYPE_CHECKING:
    from proxy.hub.services import Services


async def make_collector(config: Config, rings: Rings, follows: Iterable[int]) -> Collector:
    """In a process of its own, or in this one. `follows`: the hubs that hand over to this one."""
    if config.processes == "small":
        return await asyncio.to_thread(_make_inside, rings, set(follows))
    return await asyncio.to_thread(_make_process, rings, follows)


def _make_process(rings: Rings, follows: Iterable[int]) -> Collector:
    from proxy.hub.collector_process import COMMAND, CollectorProcess

    followed = ",".join(map(str, follows))
    return CollectorProcess(rings, (*COMMAND, "--follow", followed) if followed else COMMAND)


def _make_inside(rings: Rings, follows: set[int]) -> Collector:
    from proxy.hub.collector_inside import CollectorInside
    from proxy.web import ports

    ports.follow(follows)
    return CollectorInside(rings)


def import_services() -> type[Services]:
    from proxy.hub.services import Services

    return Services


def settle() -> None:
    """Keep the garbage collector from long turns: what is alive now lives long, and what comes
    later is young or in the totals, which have no cycles.

    It takes 40 ms to look at a configuration of ten thousand routes, 50 ms at totals at the cap.
    """
    gc.freeze()
    gc.set_threshold(5_000, 3, 3_000)
