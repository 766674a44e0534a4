"""Context: what a component gets besides its settings, made by the graph.

A component imports neither the graph nor another component: all that it may know of its place is
here, so that a test can make one by hand (tests/collector/kit.py does).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO

from proxy.collector.batch import Batch, Signal
from proxy.collector.books import Account, Ledger
from proxy.collector.condition import Condition
from proxy.collector.counters import Counters
from proxy.collector.stage import Outlet, Sink
from proxy.otlp.turns import Turns
from proxy.recent.ring import Ring


class _Nowhere:
    """The way on of those who have none."""

    __slots__ = ()

    def consume(self, batch: Batch) -> bool:
        return False

    def wants(self, signal: Signal) -> bool:
        return False

    def push(self, batch: Batch) -> None:
        return None


NOWHERE = _Nowhere()


@dataclass(frozen=True, slots=True)
class Context:
    """The place of one component instance in the graph."""

    id: str  # as configured: "otlp_http/backend"
    kind: str  # "receiver", "processor", "exporter", "connector"
    signal: Signal = "traces"  # processors: of their pipeline; there is one instance for each
    pipeline: str = ""  # processors: its name, "traces/web"
    next: Sink = NOWHERE  # processors: what is behind
    outlet: Outlet = NOWHERE  # receivers and connectors: the pipelines that name them
    # exporters and connectors: their own accounts; `exported` and `drop` are theirs to write,
    # `created` is written by the pipelines. A connector's batch is exported when it was digested.
    ledgers: Mapping[Signal, Ledger] = field(default_factory=dict)
    # processors: the accounts of every exporter behind them
    account: Account = field(default_factory=Account)
    condition: Condition = field(default_factory=Condition)  # troubles: log line, /pipelines
    counters: Counters = field(default_factory=Counters)  # metrics of the component's own
    resource: Mapping[str, str | int] = field(default_factory=dict)  # attributes of this process
    console: TextIO = field(default_factory=lambda: sys.stderr)
    recent: Ring = field(default_factory=lambda: Ring(0, 0))  # what can be looked at
    turns: Turns = field(default_factory=Turns)  # what one turn of the loop has room for
    now_ns: Callable[[], int] = time.time_ns
    random: Callable[[], float] = random.random

    @property
    def type(self) -> str:
        return self.id.partition("/")[0]
