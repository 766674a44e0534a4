"""Where the workers' telemetry enters the collector, and the hub's side of the books.

Workers run before the collector's libraries are imported, and pipelines change at a reload, so
records go through here: kept until a pipeline is there, then handed to the one in force. What a
worker created and could not deliver is noted as dropped, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.config.model import Metrics
from proxy.hub.worker import Worker
from proxy.telemetry.metrics import Report
from proxy.telemetry.totals import Totals

if TYPE_CHECKING:
    from proxy.collector.batch import Signal
    from proxy.collector.pipeline import Pipeline

RECORDS: tuple[Signal, ...] = ("traces", "logs")


class Intake:
    """Implements link.Intake; `totals` are the workers' metrics."""

    __slots__ = ("_created", "_early", "_noted", "pipeline", "totals")

    def __init__(self, metrics: Metrics) -> None:
        self.totals = Totals(metrics.series, metrics.forget)
        self.pipeline: Pipeline | None = None
        self._early: list[Callable[[Pipeline], object]] = []
        self._created: dict[Signal, int] = {"traces": 0, "logs": 0}  # by workers that are gone
        self._noted: dict[tuple[int, Signal], int] = {}  # the workers' own drops, told so far

    def attach(self, pipeline: Pipeline) -> Pipeline | None:
        """Send everything to `pipeline` from now on; returns the one before."""
        before, self.pipeline = self.pipeline, pipeline
        for act in self._early:
            act(pipeline)
        self._early.clear()
        return before

    def records(self, signal: Signal, entries: bytes, items: int) -> None:
        if self.pipeline is not None:
            self.pipeline.offer(signal, entries, items)
        else:
            self._early.append(lambda pipeline: pipeline.offer(signal, entries, items))

    def report(self, worker: int, report: Report) -> None:
        self.totals.apply(worker, report, time.monotonic())

    def settle(self, worker: Worker) -> None:
        """Enter what `worker` had to drop since the last call, because the link was full."""
        for signal in RECORDS:
            dropped = worker.tally(signal)[1]
            self._note(signal, "link_full", dropped - self._noted.get((worker.id, signal), 0))
            self._noted[worker.id, signal] = dropped

    def bury(self, worker: Worker) -> None:
        """Close the books of a worker that is gone: what never arrived is lost."""
        self.settle(worker)
        for signal in RECORDS:
            created, _, pending = worker.tally(signal)
            self._note(signal, "worker_died", pending)
            self._created[signal] += created
            del self._noted[worker.id, signal]
        self.totals.retire(worker.id, time.monotonic())

    def created(self, signal: Signal, alive: set[Worker]) -> int:
        """Records that workers have made since the hub started."""
        return self._created[signal] + sum(w.tally(signal)[0] for w in alive)

    def _note(self, signal: Signal, reason: str, items: int) -> None:
        if items <= 0:
            return
        if self.pipeline is not None:
            self.pipeline.note_dropped(signal, items, reason)
        else:
            self._early.append(lambda pipeline: pipeline.note_dropped(signal, items, reason))
