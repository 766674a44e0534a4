"""Change: from one running graph to the next, losing nothing that is queued.

First everything that can fail is tried while the old graph serves; then the way is switched in
one step; what is not needed any more flushes into what was behind it and ends in the background.
"""

from __future__ import annotations

import asyncio
import logging

from proxy.collector.build import build
from proxy.collector.graph import Graph, Node, World, retire, start_all
from proxy.collector.shortform import NOTHING_RECENT
from proxy.config.observe import Collector
from proxy.errors import ConfigError
from proxy.tasks import spawn

log = logging.getLogger("spangate")


class Change:
    """`begin`, then either `commit` or `abandon`."""

    def __init__(self, before: Graph, plan: Collector, world: World) -> None:
        self._before = before
        self.after = build(plan, world, before)
        self.recent = NOTHING_RECENT
        kept = {*before.stages(), *before.receivers()}
        self._stages = [node for node in self.after.stages() if node not in kept]
        fresh = [node for node in self.after.receivers() if node not in kept]
        # One that takes the place of another may want its address, so it has to wait for it.
        self._new = [node for node in fresh if (node.kind, node.id) not in before.nodes]
        self._changed = [node for node in fresh if (node.kind, node.id) in before.nodes]

    async def begin(self) -> None:
        """Start what is new; raises ConfigError with nothing changed."""
        try:
            await start_all([*self._stages, *self._new])
        except ConfigError:
            for node in self._stages:
                node.unseat()
            raise

    async def abandon(self) -> None:
        """Stop what was begun."""
        await asyncio.gather(*(node.stop(0.0) for node in self._new))
        await retire(self._stages, 0.0)

    async def commit(self, deadline: float) -> asyncio.Task[None]:
        """Switch over. The task ends, in little more than `deadline`, when the old is gone."""
        for node in self._changed:
            await self._replace(node)
        self.after.connect()
        used = {*self.after.stages(), *self.after.receivers()}
        gone = [node for node in self._before.receivers() if node not in used]
        await asyncio.gather(*(n.stop(1.0) for n in gone if n.condition.state != "stopped"))
        stages = [node for node in self._before.stages() if node not in used]
        end = asyncio.get_running_loop().time() + deadline
        return spawn(retire(stages, end), "flush what a reload replaced")

    async def _replace(self, node: Node) -> None:
        """A receiver with other settings; if it cannot start, the one before comes back."""
        before = self._before.nodes[node.kind, node.id]
        await before.stop(1.0)
        try:
            await start_all([node])
        except ConfigError as error:
            for problem in error.problems:
                log.error(
                    "%s; the receiver goes on as it was",
                    problem,
                    extra={"key": "receiver.unchanged"},
                )
            self.after.restore(before)
            await before.start()
