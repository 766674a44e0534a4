"""One configuration on its way to all workers: they change together, or none does.

Each worker is told all of it and answers that it is prepared, or why it refuses. Only when every
worker that serves is prepared are they told to apply it, by frames sent in one turn. A worker
that dies meanwhile is replaced by one that is told what is in force, and is asked like the others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from proxy.hub.supervisor import Supervisor
from proxy.hub.worker import Worker
from proxy.server import frames

log = logging.getLogger("spangate")

ANSWER = 10.0  # seconds that all workers get to prepare, and then to apply
DEATHS = 1  # workers that may die while they prepare: one may be chance, two are not


class Refused(Exception):
    """A worker cannot or does not take a configuration; says which one and why."""


class Rollout:
    """The way of one generation. `messages` are its SNAPSHOT frames (config/wire.py)."""

    def __init__(self, supervisor: Supervisor, generation: int, messages: Sequence[bytes]) -> None:
        self._supervisor = supervisor
        self._generation = generation
        self._messages = messages
        self._limit = ANSWER
        self._asked: set[Worker] = set()
        self._dead: set[Worker] = set()

    async def prepare(self) -> None:
        """Have it prepared everywhere, or Refused and nothing has changed.

        Nothing is waited for between the last worker's word and the return, so what the caller
        does next in the same turn meets workers that are all prepared.
        """
        try:
            await self._until(self._all_prepared, "prepare")
        except BaseException:
            for worker in self._asked:
                worker.link.send(frames.FORGET, items=self._generation)
            raise

    async def apply(self) -> None:
        """Bring it into force. A worker that does not follow is killed, and its successor is told
        what is in force."""
        for worker in self._members():
            worker.link.send(frames.APPLY, items=self._generation)
        try:
            await self._until(self._all_applied, "apply")
        except Refused as error:
            log.error("%s, and is killed", error, extra={"key": "worker.killed_by_rollout"})
            for worker in self._behind():
                worker.kill()

    def _members(self) -> list[Worker]:
        """Who serves, or is about to, and has been told what is in force."""
        return [w for w in self._supervisor.alive if w.answers.asked and w.can_change]

    def _all_prepared(self) -> bool:
        for worker in self._members():
            if worker not in self._asked:
                self._ask(worker)
        for worker in self._asked:
            if (why := worker.answers.refusals.get(self._generation)) is not None:
                raise Refused(f"worker {worker.id} refused the configuration: {why}")
            if not worker.can_change and worker.answers.prepared != self._generation:
                self._dead.add(worker)
        died = [w for w in self._dead if not w.asked_to_drain]
        if len(died) > DEATHS:
            numbers = ", ".join(str(worker.id) for worker in died)
            raise Refused(f"workers {numbers} ended while they prepared the configuration")
        if self._supervisor.is_short():
            return False  # a successor is on its way; it may be the next to die of it
        return all(w.answers.prepared == self._generation for w in self._members())

    def _ask(self, worker: Worker) -> None:
        self._asked.add(worker)
        for message in self._messages:
            worker.link.send(frames.SNAPSHOT, message, self._generation)

    def _all_applied(self) -> bool:
        for worker in self._members():
            if (why := worker.answers.refusals.get(self._generation)) is not None:
                raise Refused(f"worker {worker.id} did not apply the configuration: {why}")
        return not self._behind()

    def _behind(self) -> list[Worker]:
        return [w for w in self._members() if w.answers.applied < self._generation]

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        """Look again whenever a worker has said something, came or went."""
        end = time.monotonic() + self._limit
        while True:
            self._supervisor.stirred.clear()
            if done():
                return
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    await self._supervisor.stirred.wait()
            except TimeoutError:
                raise Refused(self._silent(what)) from None

    def _silent(self, what: str) -> str:
        late = [
            worker
            for worker in self._members()
            if (worker.answers.prepared if what == "prepare" else worker.answers.applied)
            != self._generation
        ]
        numbers = ", ".join(str(worker.id) for worker in late) or "to come"
        return f"worker {numbers} did not {what} the configuration within {self._limit:g} s"
